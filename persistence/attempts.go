// SPDX-License-Identifier: Apache-2.0

package persistence

import "github.com/strata-matrix/strata/transport/ident"

// What failed is kept attempt by attempt, by destination, also after the transaction that it was about has been delivered: an
// operator asks what is wrong with a server. A success is in its transaction's row. Everything is counted by day; the successes of the
// day are counted in the destination's own row, which is written with each delivery as it is, and moved here when another day begins.
const attemptsSchema = `
CREATE TABLE failed_attempts (
	server      INTEGER NOT NULL, -- servers.nid
	ordinal     INTEGER NOT NULL, -- counts the failures of this server from 1
	txn         INTEGER NOT NULL, -- sent_transactions.position
	number      INTEGER NOT NULL, -- of the attempt, for this transaction
	started_at  INTEGER NOT NULL,
	duration_us INTEGER NOT NULL,
	bytes       INTEGER NOT NULL,
	class       TEXT NOT NULL,
	phase       TEXT NOT NULL,
	status      INTEGER NOT NULL,
	message     TEXT NOT NULL,
	PRIMARY KEY (server, ordinal)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempt_days (
	server      INTEGER NOT NULL, -- servers.nid
	day         INTEGER NOT NULL, -- since 1970-01-01 UTC
	class       TEXT NOT NULL,
	attempts    INTEGER NOT NULL,
	bytes       INTEGER NOT NULL,
	duration_us INTEGER NOT NULL,
	PRIMARY KEY (server, day, class)
) STRICT, WITHOUT ROWID;`

const (
	// KeptFailures is how many failed attempts of one destination are kept, the latest ones: with the back-off of an outage some
	// two months, and bounded whatever its length.
	KeptFailures = 64
	// KeptDays is for how many days, today included, attempts are counted.
	KeptDays = 30

	msPerDay = 24 * 60 * 60 * 1000
)

// ClassOK is the class of an attempt that was answered with success.
const ClassOK = "ok"

// Attempt is one try to deliver a transaction.
type Attempt struct {
	Number     int    // 1 for the first of its transaction
	StartedAt  int64  // ms
	DurationUS int64  // microseconds
	Bytes      int    // of the transaction's body
	Class      string // ClassOK or the class of the failure
	Phase      string // how far the request had come when it failed, "" when that is not known
	Status     int    // HTTP status, 0 when there was none
	Message    string // what the peer or the network said
}

// FailedAttempt is an attempt with what it was about.
type FailedAttempt struct {
	Attempt
	Transaction Position // of a SentTransaction, which may have been forgotten meanwhile
}

// AttemptDay counts the attempts of one class to one destination on one day.
type AttemptDay struct {
	Day        int64 // days since 1970-01-01 UTC
	Class      string
	Attempts   int
	Bytes      int64
	DurationUS int64 // of all of them together
}

// keepFailure appends a failed attempt to those of its destination, of which the latest KeptFailures are kept.
func (tx *Tx) keepFailure(server int64, transaction Position, a Attempt) error {
	err := tx.exec(`INSERT INTO failed_attempts (server, ordinal, txn, number, started_at, duration_us, bytes, class, phase, status, message)
		SELECT ?, COALESCE(MAX(ordinal), 0) + 1, ?, ?, ?, ?, ?, ?, ?, ?, ? FROM failed_attempts WHERE server = ?`,
		server, int64(transaction), a.Number, a.StartedAt, a.DurationUS, a.Bytes, a.Class, a.Phase, a.Status, a.Message, server)
	if err != nil {
		return err
	}
	return tx.exec(`DELETE FROM failed_attempts WHERE server = ?1
		AND ordinal <= (SELECT MAX(ordinal) FROM failed_attempts WHERE server = ?1) - ?2`, server, KeptFailures)
}

// countFailure adds a failed attempt to those of its day.
func (tx *Tx) countFailure(server int64, a Attempt) error {
	day := a.StartedAt / msPerDay
	counted, err := tx.execRows(`UPDATE attempt_days SET attempts = attempts + 1, bytes = bytes + ?, duration_us = duration_us + ?
		WHERE server = ? AND day = ? AND class = ?`, a.Bytes, a.DurationUS, server, day, a.Class)
	if err != nil || counted > 0 {
		return err
	}
	err = tx.exec(`INSERT INTO attempt_days (server, day, class, attempts, bytes, duration_us) VALUES (?, ?, ?, 1, ?, ?)`,
		server, day, a.Class, a.Bytes, a.DurationUS)
	if err != nil {
		return err
	}
	return tx.forgetDays(server, day)
}

// SetDelivered is SetDestination for one that has answered an attempt with success, and counts that.
func (tx *Tx) SetDelivered(d Destination, a Attempt) error {
	server, _, err := tx.serverNID(d.Server)
	if err != nil {
		return err
	}
	day := a.StartedAt / msPerDay
	counted, err := tx.setDelivered(server, day, d, a)
	if err != nil || counted {
		return err
	}
	if err := tx.beginDay(server, day); err != nil {
		return err
	}
	_, err = tx.setDelivered(server, day, d, a)
	return err
}

// setDelivered does nothing when the successes that are counted are of another day.
func (tx *Tx) setDelivered(server, day int64, d Destination, a Attempt) (counted bool, err error) {
	n, err := tx.execRows(`UPDATE destinations SET cursor = ?, failures = ?, retry_at = ?, not_before = ?, last_success = ?, last_failure = ?,
		failing_since = ?, last_class = ?, suspects = ?, control = ?, taken = taken + 1, taken_bytes = taken_bytes + ?, taken_us = taken_us + ?
		WHERE server = ? AND day = ?`,
		int64(d.Cursor), d.Failures, d.RetryAt, d.NotBefore, d.LastSuccess, d.LastFailure, d.FailingSince, d.LastClass, d.Suspects, d.Control,
		a.Bytes, a.DurationUS, server, day)
	return n > 0, err
}

// beginDay moves the successes that are counted to those of the days that are over, and counts from nothing.
func (tx *Tx) beginDay(server, day int64) error {
	err := tx.exec(`INSERT INTO attempt_days (server, day, class, attempts, bytes, duration_us)
		SELECT server, day, ?, taken, taken_bytes, taken_us FROM destinations WHERE server = ? AND taken > 0
		ON CONFLICT (server, day, class) DO UPDATE SET attempts = attempts + excluded.attempts, bytes = bytes + excluded.bytes,
		duration_us = duration_us + excluded.duration_us`, ClassOK, server)
	if err != nil {
		return err
	}
	err = tx.exec(`UPDATE destinations SET day = ?, taken = 0, taken_bytes = 0, taken_us = 0 WHERE server = ?`, day, server)
	if err != nil {
		return err
	}
	return tx.forgetDays(server, day)
}

// forgetDays forgets the days before KeptDays.
func (tx *Tx) forgetDays(server, today int64) error {
	return tx.exec(`DELETE FROM attempt_days WHERE server = ? AND day <= ?`, server, today-KeptDays)
}

// FailedAttempts lists the kept failures of a destination, oldest first.
func (tx *Tx) FailedAttempts(server ident.ServerName) (list []FailedAttempt, err error) {
	err = tx.query(`SELECT txn, number, started_at, duration_us, bytes, class, phase, status, message FROM failed_attempts
		WHERE server = (SELECT nid FROM servers WHERE name = ?) ORDER BY ordinal`, []any{string(server)}, func(r rowScanner) error {
		var f FailedAttempt
		err := r.Scan(&f.Transaction, &f.Number, &f.StartedAt, &f.DurationUS, &f.Bytes, &f.Class, &f.Phase, &f.Status, &f.Message)
		list = append(list, f)
		return err
	})
	return list, err
}

// AttemptDays lists what was counted of the attempts to a destination, oldest first.
func (tx *Tx) AttemptDays(server ident.ServerName) (list []AttemptDay, err error) {
	nid, found, err := tx.serverNID(server)
	if err != nil || !found {
		return nil, err
	}
	err = tx.query(`SELECT day, class, SUM(attempts), SUM(bytes), SUM(duration_us) FROM (
			SELECT day, class, attempts, bytes, duration_us FROM attempt_days WHERE server = ?1
			UNION ALL SELECT day, ?2, taken, taken_bytes, taken_us FROM destinations WHERE server = ?1 AND taken > 0
		) GROUP BY day, class ORDER BY day, class`, []any{nid, ClassOK}, func(r rowScanner) error {
		var d AttemptDay
		err := r.Scan(&d.Day, &d.Class, &d.Attempts, &d.Bytes, &d.DurationUS)
		list = append(list, d)
		return err
	})
	return list, err
}

// Attempts lists what is kept of the attempts to deliver a transaction, oldest first: failures, and the success at last.
func (tx *Tx) Attempts(t SentTransaction) (list []Attempt, err error) {
	failed, err := tx.FailedAttempts(t.Destination)
	for _, f := range failed {
		if f.Transaction == t.Position {
			list = append(list, f.Attempt)
		}
	}
	if t.Last.Class == ClassOK {
		list = append(list, t.Last)
	}
	return list, err
}
