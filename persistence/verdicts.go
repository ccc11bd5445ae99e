// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"

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
	arrival     INTEGER NOT NULL,
	txn         TEXT    NOT NULL, -- of the origin, '' when it came in none
	received_at INTEGER NOT NULL, -- ms
	judged_at   INTEGER NOT NULL, -- ms
	first_at    INTEGER NOT NULL, -- ms, when it was judged for the first time; 0 if it was not yet
	judgements  INTEGER NOT NULL,
	searches    INTEGER NOT NULL, -- for what it missed
	note        TEXT    NOT NULL  -- how the last of them ended
) STRICT;
CREATE INDEX verdicts_event ON verdicts (event);
CREATE INDEX verdicts_outcome ON verdicts (outcome, nid);
CREATE TABLE verdict_causes (
	cause   INTEGER NOT NULL, -- events.nid
	verdict INTEGER NOT NULL, -- verdicts.nid
	PRIMARY KEY (cause, verdict)
) STRICT, WITHOUT ROWID;
CREATE INDEX verdict_causes_verdict ON verdict_causes (verdict);`

const (
	// keptDropped bounds the records of dropped events, which any server can cause without limit: one is kept while fewer than
	// this many newer records of any kind exist. 100,000 records are some 30 MB. The other records are not bounded apart: there
	// is one at most for each event that is stored, and what it holds is no longer than a few ids and a sentence for each check.
	keptDropped = 100_000
	// maxScannedVerdicts is how many records one listing looks at: what fits a rare filter may take several.
	maxScannedVerdicts = 10_000
)

// Verdict is what became of one event.
type Verdict struct {
	NID        int64
	Event      ident.EventID
	Room       ident.RoomID
	Outcome    int
	Redacted   bool
	Checks     []byte          // JSON
	Causes     []ident.EventID // stored events without which it would be another; only written, see Causes
	Origin     ident.ServerName
	Arrival    int // how it came, a value of the pdu layer
	Txn        string
	ReceivedAt int64
	JudgedAt   int64
	FirstAt    int64 // PutVerdict fills in both
	Judgements int
	Searches   int
	Note       string
}

// PutVerdict stores a verdict in place of an earlier one about the same event, whose judgements it counts.
func (tx *Tx) PutVerdict(v Verdict) error {
	if err := tx.supersede(&v); err != nil {
		return err
	}
	if v.Outcome != OutcomeQuarantined {
		v.Judgements++
		if v.FirstAt == 0 {
			v.FirstAt = v.JudgedAt
		}
	}
	var nid int64
	_, err := tx.queryRow(`INSERT INTO verdicts (event, room, outcome, redacted, checks, origin, arrival, txn, received_at, judged_at,
		first_at, judgements, searches, note) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING nid`,
		[]any{
			string(v.Event), string(v.Room), v.Outcome, v.Redacted, orEmpty(v.Checks), string(v.Origin), v.Arrival, v.Txn, v.ReceivedAt,
			v.JudgedAt, v.FirstAt, v.Judgements, v.Searches, v.Note,
		}, &nid)
	if err != nil {
		return err
	}
	for _, id := range v.Causes {
		err := tx.exec(`INSERT OR IGNORE INTO verdict_causes (cause, verdict) SELECT nid, ? FROM events WHERE id = ?`, nid, eventKey(id))
		if err != nil {
			return err
		}
	}
	if v.Outcome != OutcomeDropped {
		return nil
	}
	return tx.exec(`DELETE FROM verdicts WHERE outcome = ? AND nid <= ?`, OutcomeDropped, nid-keptDropped)
}

// AmendVerdict corrects what the record of an event says of its checks, if there is one: the event is not redacted any more.
func (tx *Tx) AmendVerdict(id ident.EventID, checks []byte) error {
	return tx.exec(`UPDATE verdicts SET redacted = 0, checks = ? WHERE event = ?`, checks, string(id))
}

// supersede takes away the earlier verdict about the same event, and takes over its history. One that does not say how the event
// came, as it is of a further judgement, takes over that too.
func (tx *Tx) supersede(v *Verdict) error {
	if v.Event == "" {
		return nil
	}
	before, found, err := tx.Verdict(v.Event)
	if err != nil || !found {
		return err
	}
	v.FirstAt, v.Judgements = before.FirstAt, before.Judgements
	if v.Arrival == 0 {
		v.Arrival, v.Origin, v.ReceivedAt = before.Arrival, before.Origin, before.ReceivedAt
		v.Searches, v.Note = before.Searches, before.Note
	}
	if v.Txn == "" && v.Arrival == before.Arrival && v.Origin == before.Origin {
		v.Txn = before.Txn
	}
	if err := tx.exec(`DELETE FROM verdict_causes WHERE verdict = ?`, before.NID); err != nil {
		return err
	}
	return tx.exec(`DELETE FROM verdicts WHERE nid = ?`, before.NID)
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

const verdictColumns = `SELECT nid, event, room, outcome, redacted, checks, origin, arrival, txn, received_at, judged_at, first_at,
	judgements, searches, note FROM verdicts`

func (tx *Tx) verdicts(where string, args ...any) (list []Verdict, err error) {
	err = tx.query(verdictColumns+where, args, func(r rowScanner) error {
		var v Verdict
		err := r.Scan(&v.NID, &v.Event, &v.Room, &v.Outcome, &v.Redacted, &v.Checks, &v.Origin, &v.Arrival, &v.Txn, &v.ReceivedAt,
			&v.JudgedAt, &v.FirstAt, &v.Judgements, &v.Searches, &v.Note)
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

// Causes lists the events without which a verdict, by its number, would be another.
func (tx *Tx) Causes(verdict int64) (list []ident.EventID, err error) {
	err = tx.query(`SELECT e.id FROM verdict_causes c JOIN events e ON e.nid = c.cause WHERE c.verdict = ? ORDER BY c.cause`,
		[]any{verdict}, func(r rowScanner) error {
			var key any
			if err := r.Scan(&key); err != nil {
				return err
			}
			id, err := eventID(key)
			list = append(list, id)
			return err
		})
	return list, err
}

// CausedBy lists up to limit verdicts of which an event is a cause, oldest first.
func (tx *Tx) CausedBy(event ident.EventID, limit int) ([]Verdict, error) {
	return tx.verdicts(` WHERE nid IN (SELECT verdict FROM verdict_causes WHERE cause = (SELECT nid FROM events WHERE id = ?))
		ORDER BY nid LIMIT ?`, eventKey(event), limit)
}

// WaitingFor lists up to limit quarantined events that wait for an event, oldest first.
func (tx *Tx) WaitingFor(event ident.EventID, limit int) (list []ident.EventID, err error) {
	err = tx.query(`SELECT e.id FROM waiting w JOIN events e ON e.nid = w.event WHERE w.missing = ? ORDER BY w.event LIMIT ?`,
		[]any{eventKey(event), limit}, func(r rowScanner) error {
			var key any
			if err := r.Scan(&key); err != nil {
				return err
			}
			id, err := eventID(key)
			list = append(list, id)
			return err
		})
	return list, err
}

// Verdicts lists records, newest first, those before a number when it is not 0.
func (tx *Tx) Verdicts(before int64, limit int) ([]Verdict, error) {
	return tx.verdicts(` WHERE ? = 0 OR nid < ? ORDER BY nid DESC LIMIT ?`, before, before, limit)
}

// VerdictFilter selects records; what is zero selects nothing out.
type VerdictFilter struct {
	Room    ident.RoomID
	Outcome int
	Origin  ident.ServerName
	Since   int64 // judged at this time, in ms, or later
	Before  int64 // with smaller numbers
}

// FindVerdicts lists records that fit a filter, newest first. It looks at a bounded number of them: next is what Before is to be for
// those after it, 0 when there are none.
func (tx *Tx) FindVerdicts(f VerdictFilter, limit int) (list []Verdict, next int64, err error) {
	where, args := ` WHERE (? = 0 OR nid < ?)`, []any{f.Before, f.Before}
	if f.Outcome != 0 {
		where, args = where+` AND outcome = ?`, append(args, f.Outcome)
	}
	columns := `SELECT nid, judged_at, (? = '' OR room = ?) AND (? = '' OR origin = ?) FROM verdicts`
	args = append([]any{string(f.Room), string(f.Room), string(f.Origin), string(f.Origin)}, args...)
	scanned, more := 0, false
	err = tx.query(columns+where+` ORDER BY nid DESC LIMIT ?`, append(args, maxScannedVerdicts), func(r rowScanner) error {
		var judgedAt int64
		var fits bool
		if err := r.Scan(&next, &judgedAt, &fits); err != nil {
			return err
		}
		scanned++
		more = scanned == maxScannedVerdicts
		if judgedAt < f.Since { // they are numbered as they are judged
			more = false
			return errFirstRow
		}
		if !fits {
			return nil
		}
		found, err := tx.verdicts(` WHERE nid = ?`, next)
		if list = append(list, found...); err == nil && len(list) >= limit {
			more, err = true, errFirstRow
		}
		return err
	})
	if errors.Is(err, errFirstRow) {
		err = nil
	}
	if !more {
		next = 0
	}
	return list, next, err
}
