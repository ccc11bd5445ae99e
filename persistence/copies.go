// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"github.com/strata-matrix/strata/transport/ident"
)

// Further copies of events that may say more than the one that is stored, and the places in the sequence at which events are told
// anew because one did. A copy is kept until its room has its turn.
const copiesSchema = `
CREATE TABLE copies (
	nid   INTEGER PRIMARY KEY,
	room  INTEGER NOT NULL, -- rooms.nid
	event ANY     NOT NULL, -- key of the event, which may have been given up meanwhile
	json  BLOB    NOT NULL  -- without what is no part of the event
) STRICT;
CREATE INDEX copies_room ON copies (room);
CREATE TABLE restorations (
	position INTEGER PRIMARY KEY, -- in the one sequence
	event    INTEGER NOT NULL     -- events.nid, of an event that has a position of its own, before this one
) STRICT;`

// Copy is a further copy of an event.
type Copy struct {
	NID   int64
	Event ident.EventID
	JSON  []byte
}

// KeepCopy keeps a further copy of an event. There are at most limit copies of a room: beyond that nothing is kept.
func (tx *Tx) KeepCopy(room int64, id ident.EventID, text []byte, limit int) error {
	return tx.exec(`INSERT INTO copies (room, event, json) SELECT ?, ?, ? WHERE (SELECT count(*) FROM copies WHERE room = ?) < ?`,
		room, eventKey(id), text, room, limit)
}

// Copies lists up to limit copies of a room's events, in the order in which they came.
func (tx *Tx) Copies(room int64, limit int) (list []Copy, err error) {
	err = tx.query(`SELECT nid, event, json FROM copies WHERE room = ? ORDER BY nid LIMIT ?`,
		[]any{room, limit}, func(r rowScanner) error {
			var c Copy
			var key any
			if err := r.Scan(&c.NID, &key, &c.JSON); err != nil {
				return err
			}
			c.Event, err = eventID(key)
			list = append(list, c)
			return err
		})
	return list, err
}

// DropCopies forgets copies by their numbers.
func (tx *Tx) DropCopies(nids []int64) error {
	for _, nid := range nids {
		if err := tx.exec(`DELETE FROM copies WHERE nid = ?`, nid); err != nil {
			return err
		}
	}
	return nil
}

// RoomsWithCopies lists the rooms of which copies are kept.
func (tx *Tx) RoomsWithCopies() (list []ident.RoomID, err error) {
	err = tx.query(`SELECT id FROM rooms WHERE nid IN (SELECT room FROM copies)`, nil, func(r rowScanner) error {
		var id ident.RoomID
		err := r.Scan(&id)
		list = append(list, id)
		return err
	})
	return list, err
}

// RestoreEvent notes that an event is whole of which there was what redaction leaves, since its content hash did not match. at is
// where it is told anew, 0 for nowhere.
func (tx *Tx) RestoreEvent(nid int64, at Position) error {
	if err := tx.exec(`UPDATE events SET redacted = 0 WHERE nid = ?`, nid); err != nil || at == 0 {
		return err
	}
	return tx.exec(`INSERT INTO restorations (position, event) VALUES (?, ?)`, int64(at), nid)
}

// RestoredSince gives up to limit events that are told anew at positions after a position, in order, each with that position.
func (tx *Tx) RestoredSince(after Position, limit int) (list []Event, err error) {
	var positions []Position
	var events []int64
	err = tx.query(`SELECT position, event FROM restorations WHERE position > ? ORDER BY position LIMIT ?`, []any{int64(after), limit},
		func(r rowScanner) error {
			var position Position
			var event int64
			err := r.Scan(&position, &event)
			positions, events = append(positions, position), append(events, event)
			return err
		})
	for i, nid := range events {
		e, found, err := tx.EventByNID(nid)
		if err != nil {
			return nil, err
		}
		if e.Position = positions[i]; found {
			list = append(list, e)
		}
	}
	return list, err
}
