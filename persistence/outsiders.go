// SPDX-License-Identifier: Apache-2.0

package persistence

import "github.com/strata-matrix/strata/transport/ident"

// Users of ours who stand outside of a room that this server is not in: they are invited, or knock. What the room showed of itself is
// the homeserver's to keep. An invitation that has ended is remembered for a while, so that one which comes late does not bring it back.
const outsidersSchema = `
CREATE TABLE outsiders (
	user       TEXT    NOT NULL,
	room       TEXT    NOT NULL,
	version    TEXT    NOT NULL,
	membership TEXT    NOT NULL, -- 'invite' or 'knock'; 'leave' of an invitation that has ended
	event      TEXT    NOT NULL,
	sender     TEXT    NOT NULL,
	via        TEXT    NOT NULL, -- who brought the invitation, or took the knock
	depth      INTEGER NOT NULL, -- of the event
	ts         INTEGER NOT NULL, -- of the event, ms
	since      INTEGER NOT NULL, -- ms
	PRIMARY KEY (user, room)
) STRICT, WITHOUT ROWID;
CREATE INDEX outsiders_by_room ON outsiders (room);`

// Outsider is how a user stands to a room that this server is not in.
type Outsider struct {
	User       ident.UserID
	Room       ident.RoomID
	Version    string
	Membership string // "invite" or "knock"; "leave" of an invitation that has ended
	Event      ident.EventID
	Sender     ident.UserID
	Via        ident.ServerName
	Depth, TS  int64 // of the event
	Since      int64 // ms
}

// PutOutsider stores how a user stands to a room, in the place of how they stood before.
func (tx *Tx) PutOutsider(o Outsider) error {
	return tx.exec(`INSERT OR REPLACE INTO outsiders (user, room, version, membership, event, sender, via, depth, ts, since)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		string(o.User), string(o.Room), o.Version, o.Membership, string(o.Event), string(o.Sender), string(o.Via), o.Depth, o.TS, o.Since)
}

// Outsider gives how a user stands to a room.
func (tx *Tx) Outsider(user ident.UserID, room ident.RoomID) (o Outsider, found bool, err error) {
	o = Outsider{User: user, Room: room}
	found, err = tx.queryRow(`SELECT version, membership, event, sender, via, depth, ts, since FROM outsiders WHERE user = ? AND room = ?`,
		[]any{string(user), string(room)}, &o.Version, &o.Membership, &o.Event, &o.Sender, &o.Via, &o.Depth, &o.TS, &o.Since)
	return o, found, err
}

// InvitedVia counts the rooms that a server has invited a user to, up to limit, those included of which that is only remembered.
func (tx *Tx) InvitedVia(user ident.UserID, via ident.ServerName, limit int) (n int, err error) {
	_, err = tx.queryRow(`SELECT count(*) FROM (SELECT 1 FROM outsiders WHERE user = ? AND via = ? AND membership <> 'knock' LIMIT ?)`,
		[]any{string(user), string(via), limit}, &n)
	return n, err
}

// EndOutsider ends an invitation or a knock at a time in ms. An invitation is remembered, and what has ended before a time is forgotten.
func (tx *Tx) EndOutsider(user ident.UserID, room ident.RoomID, now, before int64) error {
	for _, statement := range []struct {
		query string
		args  []any
	}{
		{`DELETE FROM outsiders WHERE user = ? AND room = ? AND membership = 'knock'`, []any{string(user), string(room)}},
		{`DELETE FROM outsiders WHERE user = ? AND membership = 'leave' AND since < ?`, []any{string(user), before}},
		{`UPDATE outsiders SET membership = 'leave', since = ? WHERE user = ? AND room = ?`, []any{now, string(user), string(room)}},
	} {
		if err := tx.exec(statement.query, statement.args...); err != nil {
			return err
		}
	}
	return nil
}

// ForgetOutsiders forgets all who stand outside of a room: it is here now, and its state says who is what.
func (tx *Tx) ForgetOutsiders(room ident.RoomID) error {
	return tx.exec(`DELETE FROM outsiders WHERE room = ?`, string(room))
}
