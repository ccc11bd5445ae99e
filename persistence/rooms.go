// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"encoding/binary"
	"fmt"

	"github.com/strata-matrix/strata/transport/ident"
)

// A room's head is one row: what its next event is built on. Rooms are numbered, so that events name them in a byte or two.
const roomsSchema = `
CREATE TABLE rooms (
	nid         INTEGER PRIMARY KEY,
	id          TEXT    NOT NULL UNIQUE,
	version     TEXT    NOT NULL,
	membership  INTEGER NOT NULL,
	create_id   TEXT    NOT NULL, -- '' until the room has a create event
	state       BLOB    NOT NULL, -- root of the current state, empty until there is one
	extremities BLOB    NOT NULL, -- events.nid, uvarints
	held        BLOB    NOT NULL  -- likewise: events that would be extremities, but for quarantined ones that follow them
) STRICT;
CREATE TABLE room_servers (
	room   INTEGER NOT NULL,
	server INTEGER NOT NULL, -- servers.nid
	joined INTEGER NOT NULL, -- members joined by the current state, never 0
	PRIMARY KEY (room, server)
) STRICT, WITHOUT ROWID;
CREATE INDEX room_servers_server ON room_servers (server);`

// Values of Room.Membership.
const (
	RoomJoining = 1
	RoomJoined  = 2
	RoomLeft    = 3
)

// Room is the head of a room.
type Room struct {
	NID         int64 // 0 for a room that is not stored yet
	ID          ident.RoomID
	Version     string
	Membership  int
	Create      ident.EventID
	State       []byte // root of the current state
	Extremities []int64
	Held        []int64
}

const roomColumns = `SELECT nid, id, version, membership, create_id, state, extremities, held FROM rooms`

func scanRoom(r rowScanner) (room Room, err error) {
	var extremities, held []byte
	err = r.Scan(&room.NID, &room.ID, &room.Version, &room.Membership, &room.Create, &room.State, &extremities, &held)
	if err != nil {
		return Room{}, err
	}
	if room.Extremities, err = unpackNIDs(extremities); err != nil {
		return Room{}, err
	}
	room.Held, err = unpackNIDs(held)
	return room, err
}

// Room gives the head of a room.
func (tx *Tx) Room(id ident.RoomID) (room Room, found bool, err error) {
	err = tx.query(roomColumns+` WHERE id = ?`, []any{string(id)}, func(r rowScanner) error {
		found = true
		room, err = scanRoom(r)
		return err
	})
	return room, found, err
}

// RoomByNID gives the head of a room by its number.
func (tx *Tx) RoomByNID(nid int64) (room Room, found bool, err error) {
	err = tx.query(roomColumns+` WHERE nid = ?`, []any{nid}, func(r rowScanner) error {
		found = true
		room, err = scanRoom(r)
		return err
	})
	return room, found, err
}

// Rooms lists every room by id.
func (tx *Tx) Rooms() (list []Room, err error) {
	err = tx.query(roomColumns+` ORDER BY id`, nil, func(r rowScanner) error {
		room, err := scanRoom(r)
		list = append(list, room)
		return err
	})
	return list, err
}

// PutRoom stores the head of a room and gives its number: a new one when NID is 0.
func (tx *Tx) PutRoom(room Room) (nid int64, err error) {
	state, extremities, held := orEmpty(room.State), packNIDs(room.Extremities), packNIDs(room.Held)
	if room.NID != 0 {
		return room.NID, tx.exec(`UPDATE rooms SET version = ?, membership = ?, create_id = ?, state = ?, extremities = ?, held = ? WHERE nid = ?`,
			room.Version, room.Membership, string(room.Create), state, extremities, held, room.NID)
	}
	_, err = tx.queryRow(`INSERT INTO rooms (id, version, membership, create_id, state, extremities, held)
		VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING nid`,
		[]any{string(room.ID), room.Version, room.Membership, string(room.Create), state, extremities, held}, &nid)
	return nid, err
}

// AbandonJoins marks every room whose join is under way as left, and lists them: for the start of a process, whose joins are all over.
func (tx *Tx) AbandonJoins() (list []ident.RoomID, err error) {
	err = tx.query(`SELECT id FROM rooms WHERE membership = ?`, []any{RoomJoining}, func(r rowScanner) error {
		var id ident.RoomID
		err := r.Scan(&id)
		list = append(list, id)
		return err
	})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list, tx.exec(`UPDATE rooms SET membership = ? WHERE membership = ?`, RoomLeft, RoomJoining)
}

// RoomServers gives the servers of a room with the number of members that are joined.
func (tx *Tx) RoomServers(room int64) (servers map[ident.ServerName]int, err error) {
	servers = map[ident.ServerName]int{}
	err = tx.query(`SELECT s.name, r.joined FROM room_servers r JOIN servers s ON s.nid = r.server WHERE r.room = ?`,
		[]any{room}, func(r rowScanner) error {
			var name ident.ServerName
			var joined int
			err := r.Scan(&name, &joined)
			servers[name] = joined
			return err
		})
	return servers, err
}

// JoinedFrom gives the number of members of a server that are joined to a room.
func (tx *Tx) JoinedFrom(room int64, name ident.ServerName) (joined int, err error) {
	_, err = tx.queryRow(`SELECT joined FROM room_servers WHERE room = ? AND server = (SELECT nid FROM servers WHERE name = ?)`,
		[]any{room, string(name)}, &joined)
	return joined, err
}

// SetRoomServer stores how many members of a server are joined to a room.
func (tx *Tx) SetRoomServer(room int64, name ident.ServerName, joined int) error {
	server, err := tx.internServer(name)
	if err != nil {
		return err
	}
	if joined == 0 {
		return tx.exec(`DELETE FROM room_servers WHERE room = ? AND server = ?`, room, server)
	}
	return tx.exec(`INSERT INTO room_servers (room, server, joined) VALUES (?, ?, ?)
		ON CONFLICT (room, server) DO UPDATE SET joined = excluded.joined`, room, server, joined)
}

func packNIDs(nids []int64) []byte {
	packed := make([]byte, 0, 4*len(nids))
	for _, nid := range nids {
		packed = binary.AppendUvarint(packed, uint64(nid))
	}
	return packed
}

func unpackNIDs(packed []byte) ([]int64, error) {
	var nids []int64
	for len(packed) > 0 {
		nid, n := binary.Uvarint(packed)
		if n <= 0 {
			return nil, fmt.Errorf("%w: list of event numbers", ErrCorrupt)
		}
		nids = append(nids, int64(nid))
		packed = packed[n:]
	}
	return nids, nil
}

// orEmpty keeps a nil slice from being stored as NULL.
func orEmpty(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
