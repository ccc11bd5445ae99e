// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"github.com/strata-matrix/strata/transport/ident"
)

// One row for each event that was not plainly accepted, newest last.
const verdictsSchema = `
CREATE TABLE verdicts (
	nid         INTEGER PRIMARY KEY,
	event       TEXT    NOT NULL, -- '' when it was too malformed to have an id
	room        TEXT    NOT NULL,
	outcome     INTEGER NOT NULL,
	redacted    INTEGER NOT NULL,
	checks      BLOB    NOT NULL, -- JSON
	origin      TEXT    NOT NULL,
	received_at INTEGER NOT NULL, -- ms
	judged_at   INTEGER NOT NULL  -- ms
) STRICT;
CREATE INDEX verdicts_event ON verdicts (event);
CREATE INDEX verdicts_outcome ON verdicts (outcome, nid);`

// keptDropped bounds the records of dropped events, which any server can cause without limit: one is kept while fewer than
// this many newer records of any kind exist. 100,000 records are some 30 MB.
const keptDropped = 100_000

// Verdict is what became of one event.
type Verdict struct {
	NID        int64
	Event      ident.EventID
	Room       ident.RoomID
	Outcome    int
	Redacted   bool
	Checks     []byte // JSON
	Origin     ident.ServerName
	ReceivedAt int64
	JudgedAt   int64
}

// PutVerdict stores a verdict in place of an earlier one about the same event.
func (tx *Tx) PutVerdict(v Verdict) error {
	if v.Event != "" {
		if err := tx.exec(`DELETE FROM verdicts WHERE event = ?`, string(v.Event)); err != nil {
			return err
		}
	}
	var nid int64
	_, err := tx.queryRow(`INSERT INTO verdicts (event, room, outcome, redacted, checks, origin, received_at, judged_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING nid`,
		[]any{string(v.Event), string(v.Room), v.Outcome, v.Redacted, orEmpty(v.Checks), string(v.Origin), v.ReceivedAt, v.JudgedAt}, &nid)
	if err != nil || v.Outcome != OutcomeDropped {
		return err
	}
	return tx.exec(`DELETE FROM verdicts WHERE outcome = ? AND nid <= ?`, OutcomeDropped, nid-keptDropped)
}

// ForgetDropped forgets that copies of events were dropped, or could not be verified, because good copies have arrived.
func (tx *Tx) ForgetDropped(events []ident.EventID) error {
	var one int
	any, err := tx.queryRow(`SELECT 1 FROM verdicts WHERE outcome IN (?, ?) LIMIT 1`, []any{OutcomeDropped, OutcomeQuarantined}, &one)
	if err != nil || !any {
		return err
	}
	for _, event := range events {
		err := tx.exec(`DELETE FROM verdicts WHERE event = ? AND outcome IN (?, ?)`, string(event), OutcomeDropped, OutcomeQuarantined)
		if err != nil {
			return err
		}
	}
	return nil
}

const verdictColumns = `SELECT nid, event, room, outcome, redacted, checks, origin, received_at, judged_at FROM verdicts`

func (tx *Tx) verdicts(where string, args ...any) (list []Verdict, err error) {
	err = tx.query(verdictColumns+where, args, func(r rowScanner) error {
		var v Verdict
		err := r.Scan(&v.NID, &v.Event, &v.Room, &v.Outcome, &v.Redacted, &v.Checks, &v.Origin, &v.ReceivedAt, &v.JudgedAt)
		list = append(list, v)
		return err
	})
	return list, err
}

// Verdict gives the record about one event.
func (tx *Tx) Verdict(event ident.EventID) (v Verdict, found bool, err error) {
	list, err := tx.verdicts(` WHERE event = ?`, string(event))
	if err != nil || len(list) == 0 {
		return Verdict{}, false, err
	}
	return list[0], true, nil
}

// Verdicts lists records, newest first, those before a number when it is not 0.
func (tx *Tx) Verdicts(before int64, limit int) ([]Verdict, error) {
	return tx.verdicts(` WHERE ? = 0 OR nid < ? ORDER BY nid DESC LIMIT ?`, before, before, limit)
}
