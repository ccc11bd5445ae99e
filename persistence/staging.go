// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"slices"
	"strings"

	"github.com/strata-matrix/strata/transport/ident"
)

// What has arrived and is not judged. The event itself is in events; a row here is the promise to judge it. An event whose
// references are missing is quarantined: waits counts its rows in waiting, one for each reference.
const stagingSchema = `
CREATE TABLE staging (
	event       INTEGER PRIMARY KEY, -- events.nid
	room        INTEGER NOT NULL,    -- rooms.nid
	origin      INTEGER NOT NULL,    -- servers.nid, who handed it to us
	arrival     INTEGER NOT NULL,
	txn         TEXT    NOT NULL,    -- of the origin, '' when it came in none
	received_at INTEGER NOT NULL,    -- ms
	waits       INTEGER NOT NULL DEFAULT 0,
	waited      INTEGER NOT NULL DEFAULT 0, -- 1 once it was quarantined
	attempts    INTEGER NOT NULL DEFAULT 0,
	retry_at    INTEGER NOT NULL DEFAULT 0, -- ms; missing references are not asked for, and the event is not judged, before
	note        TEXT    NOT NULL DEFAULT '' -- how the last attempt ended
) STRICT;
CREATE INDEX staging_ready ON staging (room, event, arrival) WHERE waits = 0;
CREATE INDEX staging_waiting ON staging (room, retry_at, arrival) WHERE waits > 0;
CREATE TABLE waiting (
	missing  ANY     NOT NULL, -- key of the event waited for
	event    INTEGER NOT NULL, -- staging.event
	in_graph INTEGER NOT NULL, -- 1 for a parent, whose state is needed; 0 for an auth event
	PRIMARY KEY (missing, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX waiting_event ON waiting (event);`

// Staging is one event that waits to be judged.
type Staging struct {
	Event      int64
	ID         ident.EventID
	Room       int64
	Origin     ident.ServerName
	Arrival    int // how it came, a value of the pdu layer
	Txn        string
	ReceivedAt int64
	Waits      int
	Waited     bool // it was quarantined at some time
	Attempts   int
	RetryAt    int64
	Note       string
}

const stagingColumns = `SELECT s.event, e.id, s.room, o.name, s.arrival, s.txn, s.received_at, s.waits, s.waited, s.attempts, s.retry_at,
	s.note FROM staging s JOIN events e ON e.nid = s.event JOIN servers o ON o.nid = s.origin`

func (tx *Tx) stagings(where string, args ...any) (list []Staging, err error) {
	err = tx.query(stagingColumns+where, args, func(r rowScanner) error {
		var s Staging
		var key any
		err := r.Scan(&s.Event, &key, &s.Room, &s.Origin, &s.Arrival, &s.Txn, &s.ReceivedAt, &s.Waits, &s.Waited, &s.Attempts, &s.RetryAt, &s.Note)
		if err != nil {
			return err
		}
		s.ID, err = eventID(key)
		list = append(list, s)
		return err
	})
	return list, err
}

// Stage promises to judge events. One that is staged already keeps the arrival with the smaller value.
func (tx *Tx) Stage(list ...Staging) error {
	for len(list) > 0 {
		n := 1
		if len(list) >= rowsAtOnce {
			n = rowsAtOnce
		}
		if err := tx.stage(list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// rowsAtOnce is how many rows one statement writes or deletes where there are many: it saves half of the cost of each. The number is
// always the same, so that the statements are.
const rowsAtOnce = 16

func (tx *Tx) stage(list []Staging) error {
	args := make([]any, 0, 6*rowsAtOnce)
	for _, s := range list {
		origin, err := tx.internServer(s.Origin)
		if err != nil {
			return err
		}
		args = append(args, s.Event, s.Room, origin, s.Arrival, s.Txn, s.ReceivedAt)
	}
	return tx.exec(`INSERT INTO staging (event, room, origin, arrival, txn, received_at) VALUES (?, ?, ?, ?, ?, ?)`+
		strings.Repeat(`, (?, ?, ?, ?, ?, ?)`, len(list)-1)+
		` ON CONFLICT (event) DO UPDATE SET origin = excluded.origin, arrival = excluded.arrival, txn = excluded.txn, received_at = excluded.received_at
		WHERE excluded.arrival < arrival`, args...)
}

// UnstageReady ends the promise for events that were never quarantined: they have their verdicts.
func (tx *Tx) UnstageReady(events []int64) error {
	const statement = `DELETE FROM staging WHERE event IN (?`
	for part := range slices.Chunk(events, rowsAtOnce) {
		args := make([]any, rowsAtOnce) // a number that is null is nobody's
		for i, event := range part {
			args[i] = event
		}
		if err := tx.exec(statement+strings.Repeat(`, ?`, rowsAtOnce-1)+`)`, args...); err != nil {
			return err
		}
	}
	return nil
}

// Unstage ends the promise: the event has its verdict. waited says that it may have been quarantined.
func (tx *Tx) Unstage(event int64, waited bool) error {
	if waited {
		if err := tx.exec(`DELETE FROM waiting WHERE event = ?`, event); err != nil {
			return err
		}
		if err := tx.endSearch(event); err != nil {
			return err
		}
	}
	return tx.exec(`DELETE FROM staging WHERE event = ?`, event)
}

// ForgetStaged forgets what is staged of a room, and gives the events that it forgot too: they were never judged, and nothing
// rests on them.
func (tx *Tx) ForgetStaged(room int64) (forgotten []ident.EventID, err error) {
	err = tx.query(`SELECT id FROM events WHERE outcome = 0 AND nid IN (SELECT event FROM staging WHERE room = ?)`, []any{room},
		func(r rowScanner) error {
			var key any
			if err := r.Scan(&key); err != nil {
				return err
			}
			id, err := eventID(key)
			forgotten = append(forgotten, id)
			return err
		})
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{
		`DELETE FROM waiting WHERE event IN (SELECT event FROM staging WHERE room = ?)`,
		`DELETE FROM search_answers WHERE event IN (SELECT event FROM staging WHERE room = ?)`,
		`DELETE FROM searches WHERE event IN (SELECT event FROM staging WHERE room = ?)`,
		`DELETE FROM events WHERE outcome = 0 AND nid IN (SELECT event FROM staging WHERE room = ?)`,
		`DELETE FROM staging WHERE room = ?`,
	} {
		if err := tx.exec(statement, room); err != nil {
			return nil, err
		}
	}
	return forgotten, nil
}

// StagedEvent gives the staging of one event.
func (tx *Tx) StagedEvent(event int64) (s Staging, found bool, err error) {
	list, err := tx.stagings(` WHERE s.event = ?`, event)
	if err != nil || len(list) == 0 {
		return Staging{}, false, err
	}
	return list[0], true, nil
}

// ReadyEvents lists up to limit events of a room that can be judged by now, in ms, oldest first.
func (tx *Tx) ReadyEvents(room int64, now int64, limit int) ([]Staging, error) {
	return tx.stagings(` WHERE s.room = ? AND s.waits = 0 AND s.retry_at <= ? ORDER BY s.event LIMIT ?`, room, now, limit)
}

// NextResting is when the first of a room's events that wait for nothing, and could not be judged, is to be judged again; found is
// false when there is none.
func (tx *Tx) NextResting(room int64) (at int64, found bool, err error) {
	found, err = tx.queryRow(`SELECT retry_at FROM staging WHERE room = ? AND waits = 0 AND retry_at > 0 ORDER BY retry_at LIMIT 1`,
		[]any{room}, &at)
	return at, found, err
}

// Quarantine lists up to limit quarantined events of all rooms, oldest first, from an event number on.
func (tx *Tx) Quarantine(from int64, limit int) ([]Staging, error) {
	return tx.stagings(` WHERE s.waits > 0 AND s.event >= ? ORDER BY s.event LIMIT ?`, from, limit)
}

// QuarantineOf lists up to limit quarantined events of one room, those that are due first.
func (tx *Tx) QuarantineOf(room int64, limit int) ([]Staging, error) {
	return tx.stagings(` WHERE s.room = ? AND s.waits > 0 ORDER BY s.retry_at, s.event LIMIT ?`, room, limit)
}

// NextRetry is when the first of a room's quarantined events is due; found is false when there is none.
func (tx *Tx) NextRetry(room int64) (at int64, found bool, err error) {
	found, err = tx.queryRow(`SELECT retry_at FROM staging WHERE room = ? AND waits > 0 ORDER BY retry_at LIMIT 1`, []any{room}, &at)
	return at, found, err
}

// StagedCount counts the staged events of a room that came in one of the ways from first to last, up to a limit.
func (tx *Tx) StagedCount(room int64, first, last, limit int) (n int, err error) {
	_, err = tx.queryRow(`SELECT (SELECT count(*) FROM (SELECT 1 FROM staging WHERE room = ?1 AND waits = 0 AND arrival BETWEEN ?2 AND ?3 LIMIT ?4))
		+ (SELECT count(*) FROM (SELECT 1 FROM staging WHERE room = ?1 AND waits > 0 AND arrival BETWEEN ?2 AND ?3 LIMIT ?4))`,
		[]any{room, first, last, limit}, &n)
	return n, err
}

// QuarantinedCount counts the quarantined events of a room that came from one server in one way, up to a limit.
func (tx *Tx) QuarantinedCount(room int64, origin ident.ServerName, arrival, limit int) (n int, err error) {
	_, err = tx.queryRow(`SELECT count(*) FROM (SELECT 1 FROM staging WHERE room = ? AND waits > 0 AND arrival = ?
		AND origin = (SELECT nid FROM servers WHERE name = ?) LIMIT ?)`, []any{room, arrival, string(origin), limit}, &n)
	return n, err
}

// LastStaged is when the last of the events that are staged of a room was received, in ms; found is false when there is none.
func (tx *Tx) LastStaged(room int64) (at int64, found bool, err error) {
	found, err = tx.queryRow(`SELECT received_at FROM staging WHERE room = ? ORDER BY received_at DESC LIMIT 1`, []any{room}, &at)
	return at, found, err
}

// StagedRooms lists the rooms that have staged events.
func (tx *Tx) StagedRooms() (list []ident.RoomID, err error) {
	err = tx.query(`SELECT id FROM rooms WHERE nid IN (SELECT room FROM staging)`, nil, func(r rowScanner) error {
		var id ident.RoomID
		err := r.Scan(&id)
		list = append(list, id)
		return err
	})
	return list, err
}

// Missing is one reference that a quarantined event waits for.
type Missing struct {
	ID      ident.EventID
	InGraph bool // a parent, whose state is needed; otherwise an auth event, known once judged by its own auth events
}

// Wait quarantines a staged event until what it misses has arrived.
func (tx *Tx) Wait(event int64, missing []Missing) error {
	if err := tx.exec(`DELETE FROM waiting WHERE event = ?`, event); err != nil {
		return err
	}
	for _, m := range missing {
		err := tx.exec(`INSERT INTO waiting (missing, event, in_graph) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET in_graph = max(in_graph, excluded.in_graph)`, eventKey(m.ID), event, m.InGraph)
		if err != nil {
			return err
		}
	}
	return tx.exec(`UPDATE staging SET waited = 1, waits = (SELECT count(*) FROM waiting WHERE event = ?) WHERE event = ?`, event, event)
}

// Arrived tells those that wait for an event that it is judged, inGraph with its place in the graph. It gives the number of
// events that now wait for nothing and can be judged.
func (tx *Tx) Arrived(id ident.EventID, inGraph bool) (ready int, err error) {
	var events []int64
	err = tx.query(`SELECT event FROM waiting WHERE missing = ? AND in_graph <= ?`, []any{eventKey(id), inGraph}, func(r rowScanner) error {
		var event int64
		err := r.Scan(&event)
		events = append(events, event)
		return err
	})
	if err != nil {
		return 0, err
	}
	if !inGraph { // those that need its place too have it asked for
		const hurry = `UPDATE staging SET retry_at = 0 WHERE event IN (SELECT event FROM waiting WHERE missing = ? AND in_graph = 1)`
		if err := tx.exec(hurry, eventKey(id)); err != nil {
			return 0, err
		}
	}
	for _, event := range events {
		if err := tx.exec(`DELETE FROM waiting WHERE missing = ? AND event = ?`, eventKey(id), event); err != nil {
			return 0, err
		}
		n, err := tx.countDown(event)
		if err != nil {
			return 0, err
		}
		ready += n
	}
	return ready, nil
}

func (tx *Tx) countDown(event int64) (ready int, err error) {
	var waits int
	_, err = tx.queryRow(`UPDATE staging SET waits = waits - 1, retry_at = iif(waits = 1, 0, retry_at) WHERE event = ?
		RETURNING waits`, []any{event}, &waits)
	if err != nil || waits > 0 {
		return 0, err
	}
	return 1, nil
}

// WaitersOf lists the quarantined events that wait for an event.
func (tx *Tx) WaitersOf(id ident.EventID) ([]Staging, error) {
	return tx.stagings(` WHERE s.event IN (SELECT event FROM waiting WHERE missing = ?) ORDER BY s.event`, eventKey(id))
}

// Awaited lists what a quarantined event waits for.
func (tx *Tx) Awaited(event int64) (list []Missing, err error) {
	err = tx.query(`SELECT missing, in_graph FROM waiting WHERE event = ? ORDER BY missing`, []any{event}, func(r rowScanner) error {
		var m Missing
		var key any
		if err := r.Scan(&key, &m.InGraph); err != nil {
			return err
		}
		m.ID, err = eventID(key)
		list = append(list, m)
		return err
	})
	return list, err
}

// Retry stores how asking for an event's missing references, or judging it, ended and when to try again, in ms.
func (tx *Tx) Retry(event int64, attempts int, at int64, note string) error {
	return tx.exec(`UPDATE staging SET attempts = ?, retry_at = ?, note = ? WHERE event = ?`, attempts, at, note, event)
}
