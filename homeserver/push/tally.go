// SPDX-License-Identifier: Apache-2.0

package push

import (
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Tally asks the rules of a room's users about its events. It is used in the store's jobs only, whose goroutine owns it.
type Tally struct {
	rules map[ident.UserID]Ruleset
	noted int // since what is too old was last forgotten
}

// NewTally makes a tally.
func NewTally() *Tally { return &Tally{rules: map[ident.UserID]Ruleset{}} }

// Listener is a user of ours who is joined to a room.
type Listener struct {
	User        ident.UserID
	DisplayName string // in the room
}

// Heard is an event with those who may want to be told of it.
type Heard struct {
	Position  persistence.Position
	Thread    string // its root, "" of the main timeline
	Subject   Subject
	Listeners []Listener
}

// Note notes an event for those of its room's users whom it notifies, at a time in ms. Their own events they know (S-20).
func (t *Tally) Note(tx *persistence.Tx, h Heard, now int64) error {
	for _, listener := range h.Listeners {
		if listener.User == h.Subject.Sender {
			continue
		}
		rules, err := t.rulesOf(tx, listener.User)
		if err != nil {
			return err
		}
		verdict := rules.Evaluate(h.Subject, listener.DisplayName)
		if !verdict.Notify {
			continue
		}
		if err := t.note(tx, listener.User, h, verdict, now); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tally) note(tx *persistence.Tx, user ident.UserID, h Heard, verdict Verdict, now int64) error {
	_, err := tx.Exec(`INSERT OR IGNORE INTO hs_unread (user, room, position, thread, highlight) VALUES (?, ?, ?, ?, ?)`,
		string(user), string(h.Subject.Room), h.Position, h.Thread, verdict.Highlight)
	if err != nil {
		return err
	}
	if err := putNotice(tx, user, h, verdict, now); err != nil {
		return err
	}
	if t.noted++; t.noted < trimEvery {
		return nil
	}
	t.noted = 0 // whoever is notified often is hit often
	return trimNotices(tx, user, keptNotices)
}

func (t *Tally) rulesOf(tx *persistence.Tx, user ident.UserID) (Ruleset, error) {
	if rules, ok := t.rules[user]; ok {
		return rules, nil
	}
	changes, err := ChangesOf(tx, user)
	if err != nil {
		return nil, err
	}
	if len(t.rules) >= maxCached {
		clear(t.rules)
	}
	rules := changes.Rules(user)
	t.rules[user] = rules
	return rules, nil
}

// forget has a user's rules read anew. It is for the end of a job that changed them.
func (t *Tally) forget(user ident.UserID) { delete(t.rules, user) }
