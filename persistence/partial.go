// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"github.com/strata-matrix/strata/transport/ident"
)

// Rooms whose state is not whole, and events that are to be judged again. A row is the promise to get on with it; it goes in the
// job that keeps it.
const partialSchema = `
CREATE TABLE partial_rooms (
	room     INTEGER PRIMARY KEY, -- rooms.nid
	event    INTEGER NOT NULL,    -- events.nid of the join, the state before which is not known whole
	first    INTEGER NOT NULL,    -- no event that follows the join has a smaller events.nid
	via      INTEGER NOT NULL,    -- servers.nid, who let us in
	attempts INTEGER NOT NULL DEFAULT 0,
	retry_at INTEGER NOT NULL DEFAULT 0, -- ms
	note     TEXT    NOT NULL DEFAULT '' -- how the last attempt ended
) STRICT;
CREATE TABLE judge_again (
	room  INTEGER NOT NULL, -- rooms.nid
	event ANY     NOT NULL, -- key of an event
	due   INTEGER NOT NULL, -- ms
	PRIMARY KEY (room, event)
) STRICT, WITHOUT ROWID;`

// PartialRoom is a room whose state is not whole.
type PartialRoom struct {
	Room     int64
	ID       ident.RoomID
	Event    int64 // number of the join
	Join     ident.EventID
	First    int64
	Via      ident.ServerName
	Attempts int
	RetryAt  int64
	Note     string
}

// PutPartial notes that a room's state is not whole. Room, Event, First and Via are stored; an earlier row is replaced.
func (tx *Tx) PutPartial(p PartialRoom) error {
	via, err := tx.internServer(p.Via)
	if err != nil {
		return err
	}
	return tx.exec(`INSERT OR REPLACE INTO partial_rooms (room, event, first, via) VALUES (?, ?, ?, ?)`, p.Room, p.Event, p.First, via)
}

// DropPartial forgets it: the state is whole, or nobody is in the room any more.
func (tx *Tx) DropPartial(room int64) error {
	return tx.exec(`DELETE FROM partial_rooms WHERE room = ?`, room)
}

func (tx *Tx) partialRooms(where string, args ...any) (list []PartialRoom, err error) {
	err = tx.query(`SELECT p.room, r.id, p.event, e.id, p.first, s.name, p.attempts, p.retry_at, p.note FROM partial_rooms p
		JOIN rooms r ON r.nid = p.room JOIN events e ON e.nid = p.event JOIN servers s ON s.nid = p.via`+where, args, func(r rowScanner) error {
		var p PartialRoom
		var key any
		err := r.Scan(&p.Room, &p.ID, &p.Event, &key, &p.First, &p.Via, &p.Attempts, &p.RetryAt, &p.Note)
		if err != nil {
			return err
		}
		p.Join, err = eventID(key)
		list = append(list, p)
		return err
	})
	return list, err
}

// Partial is the row of a room.
func (tx *Tx) Partial(room int64) (p PartialRoom, found bool, err error) {
	list, err := tx.partialRooms(` WHERE p.room = ?`, room)
	if err != nil || len(list) == 0 {
		return PartialRoom{}, false, err
	}
	return list[0], true, nil
}

// PartialRooms lists up to limit rooms that we are in and whose state is not whole, those first that are due first.
func (tx *Tx) PartialRooms(limit int) ([]PartialRoom, error) {
	return tx.partialRooms(` WHERE r.membership = ? ORDER BY p.retry_at, p.room LIMIT ?`, RoomJoined, limit)
}

// RetryPartial stores how an attempt to complete a room's state ended and when to try again, in ms.
func (tx *Tx) RetryPartial(room int64, attempts int, at int64, note string) error {
	return tx.exec(`UPDATE partial_rooms SET attempts = ?, retry_at = ?, note = ? WHERE room = ?`, attempts, at, note, room)
}

// FirstStaged is the smallest number among a room's staged events; found is false when there is none.
func (tx *Tx) FirstStaged(room int64) (nid int64, found bool, err error) {
	found, err = tx.queryRow(`SELECT event FROM staging WHERE room = ? ORDER BY event LIMIT 1`, []any{room}, &nid)
	return nid, found, err
}

// AskAgain promises to judge an event of a room again, with what rests on it, not before a time in ms. Of two times the first counts.
func (tx *Tx) AskAgain(room int64, id ident.EventID, due int64) error {
	return tx.exec(`INSERT INTO judge_again (room, event, due) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET due = min(due, excluded.due)`, room, eventKey(id), due)
}

// AskedAgain lists the events of a room that are to be judged again, and when the first of them is due, in ms.
func (tx *Tx) AskedAgain(room int64) (ids []ident.EventID, due int64, err error) {
	err = tx.query(`SELECT event, due FROM judge_again WHERE room = ? ORDER BY due DESC`, []any{room}, func(r rowScanner) error {
		var key any
		if err := r.Scan(&key, &due); err != nil {
			return err
		}
		id, err := eventID(key)
		ids = append(ids, id)
		return err // the last row leaves the smallest due
	})
	return ids, due, err
}

// JudgedAgain ends the promises for a room.
func (tx *Tx) JudgedAgain(room int64) error {
	return tx.exec(`DELETE FROM judge_again WHERE room = ?`, room)
}

// RoomsToJudgeAgain lists the rooms with such promises.
func (tx *Tx) RoomsToJudgeAgain() (list []ident.RoomID, err error) {
	err = tx.query(`SELECT id FROM rooms WHERE nid IN (SELECT room FROM judge_again)`, nil, func(r rowScanner) error {
		var id ident.RoomID
		err := r.Scan(&id)
		list = append(list, id)
		return err
	})
	return list, err
}
