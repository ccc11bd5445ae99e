// SPDX-License-Identifier: Apache-2.0

package persistence

import "github.com/strata-matrix/strata/transport/ident"

// What a destination refuses again and again is taken out of its queue and kept here, contents and all: the row of the log goes
// when everybody else is past it.
const parkedSchema = `
CREATE TABLE parked (
	server    INTEGER NOT NULL, -- servers.nid
	position  INTEGER NOT NULL, -- that it had in the outbound log
	kind      INTEGER NOT NULL,
	room_id   TEXT NOT NULL,
	event_id  TEXT NOT NULL,
	content   BLOB NOT NULL,
	queued_at INTEGER NOT NULL,
	parked_at INTEGER NOT NULL,
	retry_at  INTEGER NOT NULL,
	tries     INTEGER NOT NULL, -- since it was parked
	class     TEXT NOT NULL,
	status    INTEGER NOT NULL,
	message   TEXT NOT NULL,
	suspect   INTEGER NOT NULL, -- the destination has taken nothing of the room since
	PRIMARY KEY (server, position)
) STRICT, WITHOUT ROWID;`

// MaxParked is how many items of one destination stay parked, the latest: enough to see what is refused, and little even if a
// server refuses every event of a busy room. What later events refer to can be fetched by whoever takes them.
const MaxParked = 1000

// Parked is an item that a destination refused.
type Parked struct {
	Outbound
	Server   ident.ServerName
	ParkedAt int64  // ms
	RetryAt  int64  // ms; when it is sent again, alone
	Tries    int    // since it was parked
	Class    string // of the last refusal
	Status   int
	Message  string // what the destination said
	Suspect  bool   // it has taken nothing of the room since
}

// Park keeps an item as refused, and forgets the oldest beyond MaxParked; it tells how many those were.
func (tx *Tx) Park(p Parked) (forgotten int64, err error) {
	server, err := tx.internServer(p.Server)
	if err != nil {
		return 0, err
	}
	err = tx.exec(`INSERT INTO parked (server, position, kind, room_id, event_id, content, queued_at, parked_at, retry_at, tries, class, status, message, suspect)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
		retry_at = excluded.retry_at, tries = excluded.tries, class = excluded.class, status = excluded.status, message = excluded.message`,
		server, int64(p.Position), p.Kind, string(p.RoomID), string(p.EventID), p.Content, p.QueuedAt, p.ParkedAt, p.RetryAt, p.Tries,
		p.Class, p.Status, p.Message, p.Suspect)
	if err != nil {
		return 0, err
	}
	return tx.execRows(`DELETE FROM parked WHERE server = ?1 AND position <=
		(SELECT position FROM parked WHERE server = ?1 ORDER BY position DESC LIMIT 1 OFFSET ?2)`, server, MaxParked)
}

// ParkedItems lists what is parked, by destination and position; an empty server means all.
func (tx *Tx) ParkedItems(server ident.ServerName, limit int) ([]Parked, error) {
	return tx.parked(`WHERE ?1 = '' OR p.server = (SELECT nid FROM servers WHERE name = ?1) ORDER BY s.name, p.position LIMIT ?2`, string(server), limit)
}

// DueParked gives the oldest item of a destination whose time to be tried again has come.
func (tx *Tx) DueParked(server ident.ServerName, now int64) (p Parked, found bool, err error) {
	list, err := tx.parked(`WHERE p.server = (SELECT nid FROM servers WHERE name = ?) AND p.retry_at <= ? ORDER BY p.position LIMIT 1`, string(server), now)
	if err != nil || len(list) == 0 {
		return p, false, err
	}
	return list[0], true, nil
}

// ParkedItem gives one parked item.
func (tx *Tx) ParkedItem(server ident.ServerName, position Position) (p Parked, found bool, err error) {
	list, err := tx.parked(`WHERE p.server = (SELECT nid FROM servers WHERE name = ?) AND p.position = ?`, string(server), int64(position))
	if err != nil || len(list) == 0 {
		return p, false, err
	}
	return list[0], true, nil
}

func (tx *Tx) parked(where string, args ...any) (list []Parked, err error) {
	err = tx.query(`SELECT s.name, p.position, p.kind, p.room_id, p.event_id, p.content, p.queued_at, p.parked_at, p.retry_at, p.tries, p.class,
		p.status, p.message, p.suspect FROM parked p JOIN servers s ON s.nid = p.server `+where, args, func(r rowScanner) error {
		var p Parked
		err := r.Scan(&p.Server, &p.Position, &p.Kind, &p.RoomID, &p.EventID, &p.Content, &p.QueuedAt, &p.ParkedAt, &p.RetryAt, &p.Tries,
			&p.Class, &p.Status, &p.Message, &p.Suspect)
		list = append(list, p)
		return err
	})
	return list, err
}

// NextParked tells for each destination that has something parked when the first of it is to be tried again, in ms.
func (tx *Tx) NextParked() (map[ident.ServerName]int64, error) {
	next := map[ident.ServerName]int64{}
	err := tx.query(`SELECT s.name, MIN(p.retry_at) FROM parked p JOIN servers s ON s.nid = p.server GROUP BY p.server`, nil, func(r rowScanner) error {
		var name ident.ServerName
		var at int64
		err := r.Scan(&name, &at)
		next[name] = at
		return err
	})
	return next, err
}

// NextParkedOf is NextParked for one destination, 0 when nothing is parked.
func (tx *Tx) NextParkedOf(server ident.ServerName) (at int64, err error) {
	_, err = tx.queryRow(`SELECT COALESCE(MIN(retry_at), 0) FROM parked WHERE server = (SELECT nid FROM servers WHERE name = ?)`, []any{string(server)}, &at)
	return at, err
}

// SuspectRooms lists the rooms of which a destination has something parked and has taken nothing since, each with how much that is.
func (tx *Tx) SuspectRooms(server ident.ServerName) (map[ident.RoomID]int, error) {
	rooms := map[ident.RoomID]int{}
	err := tx.query(`SELECT room_id, COUNT(*) FROM parked WHERE server = (SELECT nid FROM servers WHERE name = ?) AND suspect AND room_id <> ''
		GROUP BY room_id`, []any{string(server)}, func(r rowScanner) error {
		var room ident.RoomID
		var items int
		err := r.Scan(&room, &items)
		rooms[room] = items
		return err
	})
	return rooms, err
}

// TrustRoom notes that a destination took something of a room.
func (tx *Tx) TrustRoom(server ident.ServerName, room ident.RoomID) error {
	return tx.exec(`UPDATE parked SET suspect = 0 WHERE server = (SELECT nid FROM servers WHERE name = ?) AND room_id = ?`, string(server), string(room))
}

// Unpark forgets a parked item.
func (tx *Tx) Unpark(server ident.ServerName, position Position) error {
	return tx.exec(`DELETE FROM parked WHERE server = (SELECT nid FROM servers WHERE name = ?) AND position = ?`, string(server), int64(position))
}

// RetryParked makes everything that is parked for a destination due at a time in ms, and tells how much it is.
func (tx *Tx) RetryParked(server ident.ServerName, at int64) (items int64, err error) {
	return tx.execRows(`UPDATE parked SET retry_at = MIN(retry_at, ?) WHERE server = (SELECT nid FROM servers WHERE name = ?)`, at, string(server))
}
