// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"fmt"

	"github.com/strata-matrix/strata/transport/ident"
)

// What the search for the missing references of quarantined events has cost, by event and by room, and who was asked.
const searchesSchema = `
CREATE TABLE searches (
	event    INTEGER PRIMARY KEY, -- staging.event
	requests INTEGER NOT NULL,
	bytes    INTEGER NOT NULL,    -- of answers
	spent    INTEGER NOT NULL     -- ms
) STRICT;
CREATE TABLE search_answers (
	event    INTEGER NOT NULL, -- staging.event
	server   INTEGER NOT NULL, -- servers.nid
	asked_at INTEGER NOT NULL, -- ms
	result   TEXT    NOT NULL, -- of the last question to it
	PRIMARY KEY (event, server)
) STRICT, WITHOUT ROWID;
CREATE TABLE room_searches (
	room     INTEGER PRIMARY KEY, -- rooms.nid
	since    INTEGER NOT NULL,    -- ms; the beginning of the period that the numbers are of
	requests INTEGER NOT NULL,
	bytes    INTEGER NOT NULL,
	spent    INTEGER NOT NULL     -- ms
) STRICT;`

// SearchCost is what was spent on a search.
type SearchCost struct {
	Requests int
	Bytes    int64
	Spent    int64 // ms
}

// SearchAnswer is how the last question to a server ended.
type SearchAnswer struct {
	Server  ident.ServerName
	AskedAt int64 // ms
	Result  string
}

// AddSearch adds to what was spent on a staged event, and takes the answers in the place of earlier ones of the same servers.
func (tx *Tx) AddSearch(event int64, cost SearchCost, answers []SearchAnswer) error {
	err := tx.exec(`INSERT INTO searches (event, requests, bytes, spent) VALUES (?, ?, ?, ?) ON CONFLICT (event) DO UPDATE
		SET requests = requests + excluded.requests, bytes = bytes + excluded.bytes, spent = spent + excluded.spent`,
		event, cost.Requests, cost.Bytes, cost.Spent)
	for _, a := range answers {
		if err != nil {
			break
		}
		err = tx.addSearchAnswer(event, a)
	}
	return err
}

func (tx *Tx) addSearchAnswer(event int64, a SearchAnswer) error {
	server, err := tx.internServer(a.Server)
	if err != nil {
		return err
	}
	return tx.exec(`INSERT INTO search_answers (event, server, asked_at, result) VALUES (?, ?, ?, ?)
		ON CONFLICT (event, server) DO UPDATE SET asked_at = excluded.asked_at, result = excluded.result`,
		event, server, a.AskedAt, a.Result)
}

// Search gives what was spent on a staged event, and the answers, the newest first.
func (tx *Tx) Search(event int64) (cost SearchCost, answers []SearchAnswer, err error) {
	_, err = tx.queryRow(`SELECT requests, bytes, spent FROM searches WHERE event = ?`, []any{event}, &cost.Requests, &cost.Bytes, &cost.Spent)
	if err != nil {
		return SearchCost{}, nil, err
	}
	err = tx.query(`SELECT o.name, a.asked_at, a.result FROM search_answers a JOIN servers o ON o.nid = a.server WHERE a.event = ?
		ORDER BY a.asked_at DESC, o.name`, []any{event}, func(r rowScanner) error {
		var a SearchAnswer
		err := r.Scan(&a.Server, &a.AskedAt, &a.Result)
		answers = append(answers, a)
		return err
	})
	return cost, answers, err
}

// endSearch forgets what was spent on an event that is staged no longer.
func (tx *Tx) endSearch(event int64) error {
	if err := tx.exec(`DELETE FROM search_answers WHERE event = ?`, event); err != nil {
		return err
	}
	return tx.exec(`DELETE FROM searches WHERE event = ?`, event)
}

// SpendOnRoom adds to what was spent on a room in the period that contains now, in ms.
func (tx *Tx) SpendOnRoom(room, now, period int64, cost SearchCost) error {
	return tx.exec(`INSERT INTO room_searches (room, since, requests, bytes, spent) VALUES (?1, ?2, ?4, ?5, ?6)
		ON CONFLICT (room) DO UPDATE SET
			since = iif(since + ?3 > ?2, since, ?2),
			requests = iif(since + ?3 > ?2, requests, 0) + excluded.requests,
			bytes = iif(since + ?3 > ?2, bytes, 0) + excluded.bytes,
			spent = iif(since + ?3 > ?2, spent, 0) + excluded.spent`,
		room, now, period, cost.Requests, cost.Bytes, cost.Spent)
}

// SpentOnRoom gives what was spent on a room since the beginning of its last period, in ms; 0 when nothing ever was.
func (tx *Tx) SpentOnRoom(room int64) (since int64, cost SearchCost, err error) {
	_, err = tx.queryRow(`SELECT since, requests, bytes, spent FROM room_searches WHERE room = ?`, []any{room},
		&since, &cost.Requests, &cost.Bytes, &cost.Spent)
	return since, cost, err
}

// DueByOrigin lists up to limit quarantined events of a room whose missing references are due to be asked for by now, in ms: of each
// server that handed events to us its first one before the second of any other, and those that have waited longest since they were due
// or came: a stream of new ones must not be before them for ever.
func (tx *Tx) DueByOrigin(room, now int64, limit int) ([]Staging, error) {
	return tx.stagings(` JOIN (SELECT event AS due, max(retry_at, received_at) AS since,
			row_number() OVER (PARTITION BY origin ORDER BY max(retry_at, received_at), event) AS turn
			FROM staging WHERE room = ? AND waits > 0 AND retry_at <= ?) d ON d.due = s.event
		ORDER BY d.turn, d.since, s.event LIMIT ?`, room, now, limit)
}

// WaitingSince lists up to limit quarantined events of a room that arrived before a time, in ms, and have been sought for so often in vain.
func (tx *Tx) WaitingSince(room, before int64, attempts, limit int) ([]Staging, error) {
	return tx.stagings(` WHERE s.room = ? AND s.waits > 0 AND s.received_at < ? AND s.attempts >= ? ORDER BY s.event LIMIT ?`,
		room, before, attempts, limit)
}

// LargestShare lists up to limit of the oldest quarantined events of a room that came in one of the ways from first to last, from the
// server from which most of them did.
func (tx *Tx) LargestShare(room int64, first, last, limit int) ([]Staging, error) {
	return tx.stagings(` WHERE s.room = ?1 AND s.waits > 0 AND s.arrival BETWEEN ?2 AND ?3 AND s.origin = (SELECT origin FROM staging
			WHERE room = ?1 AND waits > 0 AND arrival BETWEEN ?2 AND ?3 GROUP BY origin ORDER BY count(*) DESC, origin LIMIT 1)
		ORDER BY s.event LIMIT ?4`, room, first, last, limit)
}

// ArrivedCount counts the quarantined events of a room that came in one way, up to a limit.
func (tx *Tx) ArrivedCount(room int64, arrival, limit int) (n int, err error) {
	_, err = tx.queryRow(`SELECT count(*) FROM (SELECT 1 FROM staging WHERE room = ? AND waits > 0 AND arrival = ? LIMIT ?)`,
		[]any{room, arrival, limit}, &n)
	return n, err
}

// Postpone has a quarantined event's missing references not asked for before a time, in ms, without counting an attempt.
func (tx *Tx) Postpone(event, at int64, note string) error {
	return tx.exec(`UPDATE staging SET retry_at = ?, note = ? WHERE event = ?`, at, note, event)
}

// Hurry has the references of those that wait for an event asked for at once.
func (tx *Tx) Hurry(missing ident.EventID) error {
	return tx.exec(`UPDATE staging SET retry_at = 0 WHERE waits > 0 AND event IN (SELECT event FROM waiting WHERE missing = ?)`, eventKey(missing))
}

// GiveUp ends the promise to judge a quarantined event. With forget the event goes too, so that it is taken in again when it is
// sent again: nothing may rest on it.
func (tx *Tx) GiveUp(event int64, forget bool) error {
	if err := tx.Unstage(event, true); err != nil || !forget {
		return err
	}
	if err := tx.exec(`DELETE FROM events WHERE nid = ? AND before IS NULL`, event); err != nil {
		return fmt.Errorf("forget event %d: %w", event, err)
	}
	return nil
}
