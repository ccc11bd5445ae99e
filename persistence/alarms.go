// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"github.com/strata-matrix/strata/transport/ident"
)

// Resolutions that changed more of a room's state than they should have, newest last.
const alarmsSchema = `
CREATE TABLE alarms (
	nid    INTEGER PRIMARY KEY,
	room   INTEGER NOT NULL, -- rooms.nid
	at     INTEGER NOT NULL, -- ms
	severe INTEGER NOT NULL,
	detail BLOB    NOT NULL  -- JSON, of the pdu layer
) STRICT;
CREATE INDEX alarms_room ON alarms (room, nid);`

// Other servers can cause alarms, so their records are bounded: the newest of each room are kept while fewer than keptAlarms newer
// ones of all rooms exist.
const (
	keptAlarms       = 10_000
	keptAlarmsOfRoom = 100
)

// Alarm is the record of one such resolution.
type Alarm struct {
	NID     int64
	RoomNID int64
	Room    ident.RoomID // filled in by reads
	At      int64        // ms
	Severe  bool
	Detail  []byte // JSON
}

// AddAlarm appends a record.
func (tx *Tx) AddAlarm(a Alarm) error {
	var nid int64
	_, err := tx.queryRow(`INSERT INTO alarms (room, at, severe, detail) VALUES (?, ?, ?, ?) RETURNING nid`,
		[]any{a.RoomNID, a.At, a.Severe, a.Detail}, &nid)
	if err != nil {
		return err
	}
	if err := tx.exec(`DELETE FROM alarms WHERE nid <= ?`, nid-keptAlarms); err != nil {
		return err
	}
	return tx.exec(`DELETE FROM alarms WHERE room = ? AND nid <= (SELECT nid FROM alarms WHERE room = ? ORDER BY nid DESC LIMIT 1 OFFSET ?)`,
		a.RoomNID, a.RoomNID, keptAlarmsOfRoom)
}

// Alarms lists up to limit records, newest first, those before a number when it is not 0; those of one room when that is not "".
func (tx *Tx) Alarms(room ident.RoomID, before int64, limit int) (list []Alarm, err error) {
	const columns = `SELECT a.nid, a.room, r.id, a.at, a.severe, a.detail FROM alarms a JOIN rooms r ON r.nid = a.room`
	where, args := ` WHERE (? = 0 OR a.nid < ?) ORDER BY a.nid DESC LIMIT ?`, []any{before, before, limit}
	if room != "" {
		where, args = ` WHERE a.room = (SELECT nid FROM rooms WHERE id = ?) AND (? = 0 OR a.nid < ?) ORDER BY a.nid DESC LIMIT ?`,
			[]any{string(room), before, before, limit}
	}
	err = tx.query(columns+where, args, func(r rowScanner) error {
		var a Alarm
		err := r.Scan(&a.NID, &a.RoomNID, &a.Room, &a.At, &a.Severe, &a.Detail)
		list = append(list, a)
		return err
	})
	return list, err
}
