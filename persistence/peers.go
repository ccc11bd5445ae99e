// SPDX-License-Identifier: Apache-2.0

package persistence

import "github.com/strata-matrix/strata/transport/ident"

// What operators ask of one other server.

// SharedRoom is a room that another server is in.
type SharedRoom struct {
	ID         ident.RoomID
	Version    string
	Membership int // our own, as in Room
	Joined     int // members of the other server
}

// SharedRooms lists the rooms that a server is in as far as we know, by id.
func (tx *Tx) SharedRooms(server ident.ServerName) (list []SharedRoom, err error) {
	err = tx.query(`SELECT rooms.id, rooms.version, rooms.membership, r.joined FROM rooms CROSS JOIN room_servers r ON r.room = rooms.nid
		AND r.server = (SELECT nid FROM servers WHERE name = ?) ORDER BY rooms.id`, []any{string(server)}, func(r rowScanner) error {
		var room SharedRoom
		err := r.Scan(&room.ID, &room.Version, &room.Membership, &room.Joined)
		list = append(list, room)
		return err
	})
	return list, err
}

// RoomServerNames lists every server that is in a room here, by name.
func (tx *Tx) RoomServerNames() (list []ident.ServerName, err error) {
	err = tx.query(`SELECT name FROM servers WHERE nid IN (SELECT server FROM room_servers) ORDER BY name`, nil, func(r rowScanner) error {
		var name ident.ServerName
		err := r.Scan(&name)
		list = append(list, name)
		return err
	})
	return list, err
}

// SenderNames lists every server of which a transaction is kept, by name. It skips through the index from server to server.
func (tx *Tx) SenderNames() (list []ident.ServerName, err error) {
	err = tx.query(`WITH RECURSIVE senders(nid) AS (
			SELECT MIN(server) FROM received_transactions
			UNION ALL
			SELECT (SELECT MIN(server) FROM received_transactions WHERE server > senders.nid) FROM senders WHERE senders.nid IS NOT NULL
		)
		SELECT s.name FROM senders JOIN servers s ON s.nid = senders.nid ORDER BY s.name`, nil, func(r rowScanner) error {
		var name ident.ServerName
		err := r.Scan(&name)
		list = append(list, name)
		return err
	})
	return list, err
}
