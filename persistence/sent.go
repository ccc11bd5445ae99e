// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"fmt"

	"github.com/strata-matrix/strata/transport/ident"
)

const sentSchema = `
CREATE TABLE sent_transactions (
	position  INTEGER PRIMARY KEY,
	server    INTEGER NOT NULL, -- servers.nid
	txn_id    TEXT NOT NULL,
	body      BLOB NOT NULL,    -- the bytes of every attempt
	pdus      INTEGER NOT NULL,
	edus      INTEGER NOT NULL,
	through   INTEGER NOT NULL, -- the destination's cursor once this is answered
	frozen_at INTEGER NOT NULL,
	ended_at  INTEGER NOT NULL DEFAULT 0,
	attempts  INTEGER NOT NULL DEFAULT 0,
	reply     BLOB
);
CREATE INDEX sent_transactions_open ON sent_transactions (server) WHERE ended_at = 0;
CREATE INDEX sent_transactions_id ON sent_transactions (txn_id);
CREATE TABLE attempts (
	transaction_position INTEGER NOT NULL,
	number               INTEGER NOT NULL,
	started_at           INTEGER NOT NULL,
	duration_us          INTEGER NOT NULL,
	class                TEXT NOT NULL,
	status               INTEGER NOT NULL,
	message              TEXT NOT NULL,
	PRIMARY KEY (transaction_position, number)
) WITHOUT ROWID;`

// KeptAttempts is how many attempts of one transaction are kept, the latest ones: enough to see a pattern, bounded whatever
// the length of an outage.
const KeptAttempts = 16

// SentTransaction is one outbound transaction. Its body never changes once stored.
type SentTransaction struct {
	Position    Position
	Destination ident.ServerName
	TxnID       string
	Body        []byte // canonical JSON as sent; nil in listings
	PDUs, EDUs  int
	Through     Position // where the destination's cursor stands once this is answered
	FrozenAt    int64    // ms
	EndedAt     int64    // ms; 0 while it is not answered
	Attempts    int
	Reply       []byte // the 200 body; nil in listings, and when it was too long to be kept
	Last        Attempt
}

// Attempt is one try to deliver a transaction.
type Attempt struct {
	Number     int    // 1 for the first
	StartedAt  int64  // ms
	DurationUS int64  // microseconds
	Class      string // "ok" or the class of the failure
	Status     int    // HTTP status, 0 when there was none
	Message    string // what the peer or the network said
}

// Freeze stores a transaction before its first attempt and gives it its position.
func (tx *Tx) Freeze(t SentTransaction) (SentTransaction, error) {
	server, found, err := tx.serverNID(t.Destination)
	if err != nil {
		return t, err
	}
	if !found {
		return t, fmt.Errorf("freeze transaction for %s: not a destination", t.Destination)
	}
	t.Position, err = tx.NextPosition()
	if err != nil {
		return t, err
	}
	return t, tx.exec(`INSERT INTO sent_transactions (position, server, txn_id, body, pdus, edus, through, frozen_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		int64(t.Position), server, t.TxnID, t.Body, t.PDUs, t.EDUs, int64(t.Through), t.FrozenAt)
}

// OpenTransaction gives the frozen, unanswered transaction of a destination. There is at most one (T-02).
func (tx *Tx) OpenTransaction(server ident.ServerName) (t SentTransaction, found bool, err error) {
	err = tx.query(sentColumns(true)+` WHERE t.ended_at = 0 AND t.server = (SELECT nid FROM servers WHERE name = ?)
		ORDER BY t.position LIMIT 1`, []any{string(server)}, func(r rowScanner) error {
		found = true
		t, err = scanSent(r)
		return err
	})
	return t, found, err
}

// RecordAttempt appends an attempt to a transaction and counts it. Only the latest KeptAttempts are kept.
func (tx *Tx) RecordAttempt(transaction Position, a Attempt) error {
	err := tx.exec(`INSERT INTO attempts (transaction_position, number, started_at, duration_us, class, status, message)
		VALUES (?, ?, ?, ?, ?, ?, ?)`,
		int64(transaction), a.Number, a.StartedAt, a.DurationUS, a.Class, a.Status, a.Message)
	if err != nil {
		return err
	}
	err = tx.exec(`DELETE FROM attempts WHERE transaction_position = ? AND number <= ?`, int64(transaction), a.Number-KeptAttempts)
	if err != nil {
		return err
	}
	return tx.exec(`UPDATE sent_transactions SET attempts = ? WHERE position = ?`, a.Number, int64(transaction))
}

// EndTransaction keeps the reply of a transaction: it has been delivered.
func (tx *Tx) EndTransaction(transaction Position, endedAt int64, reply []byte) error {
	return tx.exec(`UPDATE sent_transactions SET ended_at = ?, reply = ? WHERE position = ?`, endedAt, reply, int64(transaction))
}

// SentTransactions lists outbound transactions, newest first, those before a position when it is not 0. An empty
// destination means all.
func (tx *Tx) SentTransactions(destination ident.ServerName, before Position, limit int) (list []SentTransaction, err error) {
	err = tx.query(sentColumns(false)+` WHERE (? = '' OR s.name = ?) AND (? = 0 OR t.position < ?) ORDER BY t.position DESC LIMIT ?`,
		[]any{string(destination), string(destination), int64(before), int64(before), limit}, func(r rowScanner) error {
			t, err := scanSent(r)
			list = append(list, t)
			return err
		})
	return list, err
}

// SentTransactionsByID gives the outbound transactions with an id, bodies and replies included. Ids are hashes of destination,
// position and body: there is at most one unless a hash collides.
func (tx *Tx) SentTransactionsByID(txnID string) (list []SentTransaction, err error) {
	err = tx.query(sentColumns(true)+` WHERE t.txn_id = ? ORDER BY t.position`, []any{txnID}, func(r rowScanner) error {
		t, err := scanSent(r)
		list = append(list, t)
		return err
	})
	return list, err
}

// Attempts lists the kept attempts of a transaction, oldest first.
func (tx *Tx) Attempts(transaction Position) (list []Attempt, err error) {
	err = tx.query(`SELECT number, started_at, duration_us, class, status, message FROM attempts
		WHERE transaction_position = ? ORDER BY number`, []any{int64(transaction)}, func(r rowScanner) error {
		var a Attempt
		err := r.Scan(&a.Number, &a.StartedAt, &a.DurationUS, &a.Class, &a.Status, &a.Message)
		list = append(list, a)
		return err
	})
	return list, err
}

// sentColumns selects a transaction with its latest attempt; listings leave the bodies where they are.
func sentColumns(bodies bool) string {
	content := `NULL, NULL`
	if bodies {
		content = `t.body, t.reply`
	}
	return `SELECT t.position, s.name, t.txn_id, t.pdus, t.edus, t.through, t.frozen_at, t.ended_at, t.attempts, ` + content + `,
		COALESCE(a.number, 0), COALESCE(a.started_at, 0), COALESCE(a.duration_us, 0), COALESCE(a.class, ''), COALESCE(a.status, 0), COALESCE(a.message, '')
		FROM sent_transactions t JOIN servers s ON s.nid = t.server
		LEFT JOIN attempts a ON a.transaction_position = t.position AND a.number = t.attempts`
}

func scanSent(r rowScanner) (t SentTransaction, err error) {
	return t, r.Scan(&t.Position, &t.Destination, &t.TxnID, &t.PDUs, &t.EDUs, &t.Through, &t.FrozenAt, &t.EndedAt, &t.Attempts,
		&t.Body, &t.Reply, &t.Last.Number, &t.Last.StartedAt, &t.Last.DurationUS, &t.Last.Class, &t.Last.Status, &t.Last.Message)
}
