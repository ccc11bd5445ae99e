// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"github.com/strata-matrix/strata/transport/ident"
)

// Which users of ours are joined to which rooms, by the current states: what is about a user goes to the servers of those rooms.
const residentsSchema = `
CREATE TABLE residents (
	user TEXT    NOT NULL,
	room INTEGER NOT NULL, -- rooms.nid
	PRIMARY KEY (user, room)
) STRICT, WITHOUT ROWID;
CREATE INDEX residents_room ON residents (room);`

// SetResident notes whether a user of ours is joined to a room.
func (tx *Tx) SetResident(room int64, user ident.UserID, joined bool) error {
	if !joined {
		return tx.exec(`DELETE FROM residents WHERE user = ? AND room = ?`, string(user), room)
	}
	return tx.exec(`INSERT OR IGNORE INTO residents (user, room) VALUES (?, ?)`, string(user), room)
}

// ClearResidents forgets which users of ours are joined to a room.
func (tx *Tx) ClearResidents(room int64) error {
	return tx.exec(`DELETE FROM residents WHERE room = ?`, room)
}

// ServersAround lists the servers of the rooms to which a user of ours is joined, this one included, by name; except leaves one room
// out, "" none.
func (tx *Tx) ServersAround(user ident.UserID, except ident.RoomID) (list []ident.ServerName, err error) {
	err = tx.query(`SELECT DISTINCT s.name FROM residents m JOIN rooms ON rooms.nid = m.room JOIN room_servers r ON r.room = m.room
		JOIN servers s ON s.nid = r.server WHERE m.user = ? AND rooms.membership = ? AND rooms.id <> ? ORDER BY s.name`,
		[]any{string(user), RoomJoined, string(except)}, func(r rowScanner) error {
			var name ident.ServerName
			err := r.Scan(&name)
			list = append(list, name)
			return err
		})
	return list, err
}

// CommonRoom is a room with the root of its current state.
type CommonRoom struct {
	NID   int64
	ID    ident.RoomID
	State []byte
}

// RoomsWith lists up to limit rooms that we are in together with a server.
func (tx *Tx) RoomsWith(server ident.ServerName, limit int) (list []CommonRoom, err error) {
	nid, found, err := tx.serverNID(server)
	if err != nil || !found {
		return nil, err
	}
	err = tx.query(`SELECT rooms.nid, rooms.id, rooms.state FROM room_servers r JOIN rooms ON rooms.nid = r.room
		WHERE r.server = ? AND rooms.membership = ? LIMIT ?`, []any{nid, RoomJoined, limit}, func(r rowScanner) error {
		var room CommonRoom
		err := r.Scan(&room.NID, &room.ID, &room.State)
		list = append(list, room)
		return err
	})
	return list, err
}
