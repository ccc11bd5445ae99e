// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"fmt"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Schema is the table of this package, a step of the homeserver's annex.
const Schema = `
CREATE TABLE hs_stream (
	position INTEGER PRIMARY KEY,
	kind     INTEGER NOT NULL,
	room     TEXT    NOT NULL, -- '' where it is about no room
	user     TEXT    NOT NULL, -- whom it is about, or for; '' for all of the room
	device   TEXT    NOT NULL, -- '' for all of the user's
	ref      TEXT    NOT NULL  -- what it is about more closely, as the kind says; '' for nothing
) STRICT;
CREATE INDEX hs_stream_user ON hs_stream (user, kind, position);`

// Kind is what changed.
type Kind int

// The values are stored.
const (
	AccountData Kind = 1  // User's own; Room says whose room's, or none; Ref is its type
	Receipt     Kind = 2  // User's, in Room; Ref is its type
	Typing      Kind = 3  // in Room
	Presence    Kind = 4  // User's
	ToDevice    Kind = 5  // a message for User's Device
	DeviceList  Kind = 6  // User's devices or cross-signing keys
	KeyCount    Kind = 7  // one-time or fallback keys of User's Device
	Invite      Kind = 8  // of User to Room, or its end, where we are not in the room
	Knock       Kind = 9  // of User on Room, or its end, where we are not in the room
	Counts      Kind = 10 // unread counts of User in Room
	Forgotten   Kind = 12 // Room, by User
)

// Entry is a change other than a room's event.
type Entry struct {
	Position persistence.Position // of Append, and as read
	Kind     Kind
	Room     ident.RoomID
	User     ident.UserID
	Device   string
	Ref      string
}

// Append enters a change and gives its position. It belongs to the job that makes the change.
func Append(tx *persistence.Tx, e Entry) (persistence.Position, error) {
	at, err := tx.NextPosition()
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(`INSERT INTO hs_stream (position, kind, room, user, device, ref) VALUES (?, ?, ?, ?, ?, ?)`,
		at, int64(e.Kind), string(e.Room), string(e.User), e.Device, e.Ref)
	if err != nil {
		return 0, fmt.Errorf("append to the stream: %w", err)
	}
	return at, nil
}

// Since gives up to limit entries after a position, in order.
func Since(tx *persistence.Tx, after persistence.Position, limit int) (list []Entry, err error) {
	const query = `SELECT position, kind, room, user, device, ref FROM hs_stream WHERE position > ? ORDER BY position LIMIT ?`
	err = tx.Query(query, []any{after, limit}, func(r persistence.Row) error {
		var e Entry
		err := r.Scan(&e.Position, &e.Kind, &e.Room, &e.User, &e.Device, &e.Ref)
		list = append(list, e)
		return err
	})
	return list, err
}

// Of gives the entries of one kind about a user after a position and through another, in order.
func Of(tx *persistence.Tx, user ident.UserID, kind Kind, after, through persistence.Position) (list []Entry, err error) {
	const query = `SELECT position, kind, room, user, device, ref FROM hs_stream WHERE user = ? AND kind = ? AND position > ? AND position <= ?
		ORDER BY position`
	err = tx.Query(query, []any{string(user), int64(kind), after, through}, func(r persistence.Row) error {
		var e Entry
		err := r.Scan(&e.Position, &e.Kind, &e.Room, &e.User, &e.Device, &e.Ref)
		list = append(list, e)
		return err
	})
	return list, err
}
