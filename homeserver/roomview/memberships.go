// SPDX-License-Identifier: Apache-2.0

package roomview

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Schema is the tables of this package, a step of the homeserver's annex.
const Schema = `
CREATE TABLE hs_memberships (
	user       TEXT    NOT NULL, -- of ours
	room       TEXT    NOT NULL,
	position   INTEGER NOT NULL, -- from which on it is so, until the next row
	membership TEXT    NOT NULL,
	event      TEXT    NOT NULL, -- that made it so, '' where none did
	outside    TEXT    NOT NULL, -- JSON list of a room that we are not in: what it shows of itself, or the event by which that is over; else ''
	PRIMARY KEY (user, room, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX hs_memberships_room ON hs_memberships (room, user);`

// Membership is how a user stands to a room from a position on.
type Membership struct {
	Room       ident.RoomID
	Position   persistence.Position
	Membership string // "join", "invite", "knock", "leave", "ban" or "forgotten"
	Event      ident.EventID
	Outside    json.RawMessage // of a room that we are not in, a list: stripped state, or the event by which it is over
}

const membershipColumns = `SELECT room, position, membership, event, outside FROM hs_memberships`

func scanMembership(r persistence.Row) (m Membership, err error) {
	err = r.Scan(&m.Room, &m.Position, &m.Membership, &m.Event, &m.Outside)
	return m, err
}

// Derive implements stream.Deriver: a row for each change of a membership.
func (v *View) Derive(_ context.Context, batch stream.Batch) (write func(*persistence.Tx) error, err error) {
	v.known.forget(batch) // rows that were written in jobs of others, of which the batch tells
	if !slices.ContainsFunc(batch.Changes, func(c stream.Change) bool { return len(c.Members) > 0 }) {
		return nil, nil
	}
	return func(tx *persistence.Tx) error {
		tx.AfterCommit(func() { v.known.forget(batch) })
		for _, c := range batch.Changes {
			for _, m := range c.Members {
				row := Membership{Room: c.Room, Position: c.Position, Membership: m.Membership, Event: m.Event}
				if err := put(tx, m.User, row); err != nil {
					return err
				}
			}
		}
		return nil
	}, nil
}

// SetOutside keeps how a user of ours stands to a room that this server is not in, in the job in which it becomes so.
func SetOutside(tx *persistence.Tx, s messaging.Standing) error {
	kind := stream.Invite
	if s.Membership == "knock" {
		kind = stream.Knock
	}
	at, err := stream.Append(tx, stream.Entry{Kind: kind, Room: s.Room, User: s.User})
	if err != nil {
		return err
	}
	row := Membership{Room: s.Room, Position: at, Membership: s.Membership, Event: s.Event.ID()}
	shown := s.State
	if s.Membership == "leave" || s.Membership == "ban" {
		shown = []json.RawMessage{AppendEvent(nil, s.Event, Format{}, nil)}
	}
	if row.Outside, err = json.Marshal(shown); err != nil {
		return fmt.Errorf("state of %s: %w", s.Room, err)
	}
	return put(tx, s.User, row)
}

// put stores a change of a membership. What changes nothing, like a new name, is no change.
func put(tx *persistence.Tx, user ident.UserID, m Membership) error {
	_, err := tx.Exec(`INSERT OR IGNORE INTO hs_memberships (user, room, position, membership, event, outside) SELECT ?, ?, ?, ?, ?, ?
		WHERE ? IS NOT (SELECT membership FROM hs_memberships WHERE user = ? AND room = ? AND position < ? ORDER BY position DESC LIMIT 1)`,
		string(user), string(m.Room), m.Position, m.Membership, string(m.Event), string(m.Outside),
		m.Membership, string(user), string(m.Room), m.Position)
	if err != nil {
		return fmt.Errorf("membership of %s in %s: %w", user, m.Room, err)
	}
	return nil
}

// Memberships is how a user has stood to every room, by room and position.
func Memberships(tx *persistence.Tx, user ident.UserID) (list []Membership, err error) {
	err = tx.Query(membershipColumns+` WHERE user = ? ORDER BY room, position`, []any{string(user)}, func(r persistence.Row) error {
		m, err := scanMembership(r)
		list = append(list, m)
		return err
	})
	return list, err
}

// Stays is how a user has stood to a room, in order.
func Stays(tx *persistence.Tx, user ident.UserID, room ident.RoomID) (list []Membership, err error) {
	err = tx.Query(membershipColumns+` WHERE user = ? AND room = ? ORDER BY position`, []any{string(user), string(room)}, func(r persistence.Row) error {
		m, err := scanMembership(r)
		list = append(list, m)
		return err
	})
	return list, err
}

// locals is the users of ours who have to do with a room, or had, and whether they are joined as of a position.
func locals(tx *persistence.Tx, room ident.RoomID, at persistence.Position) (joined map[ident.UserID]bool, err error) {
	joined = map[ident.UserID]bool{}
	err = tx.Query(`SELECT user, membership, max(position) FROM hs_memberships WHERE room = ? AND position <= ? GROUP BY user`,
		[]any{string(room), at}, func(r persistence.Row) error {
			var user ident.UserID
			var membership string
			var position int64
			err := r.Scan(&user, &membership, &position)
			joined[user] = membership == "join"
			return err
		})
	return joined, err
}

// LastChange is the position of the last event of a room, or of the last change of its state if that is later; 0 for a room that is not
// stored.
func LastChange(tx *persistence.Tx, room ident.RoomID, through persistence.Position) (persistence.Position, error) {
	row, found, err := tx.Room(room)
	if err != nil || !found {
		return 0, err
	}
	last, err := tx.LastInRoom(row.NID)
	if err != nil {
		return 0, err
	}
	state, _, err := tx.RoomStateAt(row.NID, through)
	return max(last, state.Position), err
}

// Forget has a room vanish from what a user is told, until they are in it or invited again (S-16). It belongs to the job that forgets.
func Forget(tx *persistence.Tx, user ident.UserID, room ident.RoomID) error {
	at, err := stream.Append(tx, stream.Entry{Kind: stream.Forgotten, Room: room, User: user})
	if err != nil {
		return err
	}
	return put(tx, user, Membership{Room: room, Position: at, Membership: "forgotten"})
}
