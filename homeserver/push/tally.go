// SPDX-License-Identifier: Apache-2.0

package push

import (
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Tally asks the rules of a room's users about its events. It is used in the store's jobs only, whose goroutine owns it.
type Tally struct {
	rules map[ident.UserID]Ruleset
}

// NewTally makes a tally.
func NewTally() *Tally { return &Tally{rules: map[ident.UserID]Ruleset{}} }

// Listener is a user of ours who is joined to a room.
type Listener struct {
	User        ident.UserID
	DisplayName string // in the room
}

// Note notes an event for those of its room's users whom it notifies. Their own events they know (S-20).
func (t *Tally) Note(tx *persistence.Tx, at persistence.Position, thread string, subject Subject, listeners []Listener) error {
	for _, listener := range listeners {
		if listener.User == subject.Sender {
			continue
		}
		rules, err := t.rulesOf(tx, listener.User)
		if err != nil {
			return err
		}
		verdict := rules.Evaluate(subject, listener.DisplayName)
		if !verdict.Notify {
			continue
		}
		err = note(tx, Notice{
			User: listener.User, Room: subject.Room, Position: at, Thread: thread, Highlight: verdict.Highlight,
		})
		if err != nil {
			return err
		}
	}
	return nil
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
