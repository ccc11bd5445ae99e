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
	body      INTEGER NOT NULL, -- sent_bodies.nid
	pdus      INTEGER NOT NULL,
	edus      INTEGER NOT NULL,
	through   INTEGER NOT NULL, -- the destination's cursor once this is answered
	items     BLOB NOT NULL,    -- ascending positions in the log, each the uvarint difference to the one before
	parked    INTEGER NOT NULL DEFAULT 0, -- position of the parked item that this tries again
	withdrawn INTEGER NOT NULL DEFAULT 0, -- ended_at is when it was given up
	frozen_at INTEGER NOT NULL,
	ended_at  INTEGER NOT NULL DEFAULT 0,
	attempts  INTEGER NOT NULL DEFAULT 0,
	reply     BLOB,

	-- the last attempt
	started_at  INTEGER NOT NULL DEFAULT 0,
	duration_us INTEGER NOT NULL DEFAULT 0,
	class       TEXT NOT NULL DEFAULT '',
	phase       TEXT NOT NULL DEFAULT '',
	status      INTEGER NOT NULL DEFAULT 0,
	message     TEXT NOT NULL DEFAULT ''
);
CREATE INDEX sent_transactions_open ON sent_transactions (server) WHERE ended_at = 0;
CREATE INDEX sent_transactions_id ON sent_transactions (txn_id);`

// SentTransaction is one outbound transaction. Its body never changes once stored.
type SentTransaction struct {
	Position    Position
	Destination ident.ServerName
	TxnID       string
	Body        []byte // canonical JSON as sent; nil in listings
	PDUs, EDUs  int
	Through     Position   // where the destination's cursor stands once this is answered
	FrozenAt    int64      // ms
	Items       []Position // places in the log that it is made of, ascending; nil in listings
	Parked      Position   // of the parked item that it tries again, 0 for none
	EndedAt     int64      // ms; 0 while it is neither answered nor withdrawn
	Withdrawn   bool       // given up: the destination refused it; others carry what was in it
	Attempts    int
	Reply       []byte  // the 200 body; nil in listings, and when it was too long to be kept
	Last        Attempt // the latest; Number 0 before the first
}

// Ahead tells that a transaction is of the present of rooms, which goes to a server ahead of the log: its items stand beyond its Through.
func (t SentTransaction) Ahead() bool { return len(t.Items) > 0 && t.Items[0] > t.Through }

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
	body, err := tx.internBody(t.Body)
	if err != nil {
		return t, err
	}
	return t, tx.exec(`INSERT INTO sent_transactions (position, server, txn_id, body, pdus, edus, through, items, parked, frozen_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		int64(t.Position), server, t.TxnID, body, t.PDUs, t.EDUs, int64(t.Through), packPositions(t.Items), int64(t.Parked), t.FrozenAt)
}

// OpenTransaction gives the frozen, unanswered transaction of a destination. There is at most one (T-02).
func (tx *Tx) OpenTransaction(server ident.ServerName) (t SentTransaction, found bool, err error) {
	nid, found, err := tx.serverNID(server)
	if err != nil || !found {
		return t, false, err
	}
	var position Position // mostly there is none, and all columns of nothing cost as much as those of something
	found, err = tx.queryRow(`SELECT position FROM sent_transactions WHERE ended_at = 0 AND server = ? ORDER BY position LIMIT 1`,
		[]any{nid}, &position)
	if err != nil || !found {
		return t, false, err
	}
	err = tx.query(sentColumns(true)+` WHERE t.position = ?`, []any{int64(position)}, func(r rowScanner) error {
		t, err = scanSent(r)
		return err
	})
	return t, true, err
}

// RecordFailure keeps an attempt that failed; whether the transaction is over is another matter.
func (tx *Tx) RecordFailure(t SentTransaction, a Attempt) error {
	server, err := tx.internServer(t.Destination)
	if err != nil {
		return err
	}
	err = tx.exec(`UPDATE sent_transactions SET attempts = ?, started_at = ?, duration_us = ?, class = ?, phase = ?, status = ?, message = ?,
		reply = NULL WHERE position = ?`,
		a.Number, a.StartedAt, a.DurationUS, a.Class, a.Phase, a.Status, a.Message, int64(t.Position))
	if err != nil {
		return err
	}
	if err := tx.countFailure(server, a); err != nil {
		return err
	}
	return tx.keepFailure(server, t.Position, a)
}

// RecordSuccess ends a transaction with the attempt that was answered, and keeps the reply, nil for none. SetDelivered counts it.
func (tx *Tx) RecordSuccess(t SentTransaction, a Attempt, endedAt int64, reply []byte) error {
	return tx.exec(`UPDATE sent_transactions SET attempts = ?, started_at = ?, duration_us = ?, class = ?, phase = ?, status = ?, message = ?,
		reply = ?, withdrawn = 0, ended_at = ? WHERE position = ?`,
		a.Number, a.StartedAt, a.DurationUS, a.Class, a.Phase, a.Status, a.Message, reply, endedAt, int64(t.Position))
}

// Withdraw gives up a transaction that is not answered, and tells whether it was not over yet.
func (tx *Tx) Withdraw(transaction Position, at int64) (open bool, err error) {
	n, err := tx.execRows(`UPDATE sent_transactions SET ended_at = ?, withdrawn = 1 WHERE position = ? AND ended_at = 0`, at, int64(transaction))
	return n > 0, err
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

// sentColumns selects transactions; listings leave the bodies where they are.
func sentColumns(bodies bool) string {
	content := `NULL, length(b.content), NULL, NULL`
	if bodies {
		content = `b.content, length(b.content), t.reply, t.items`
	}
	return `SELECT t.position, s.name, t.txn_id, t.pdus, t.edus, t.through, t.parked, t.withdrawn, t.frozen_at, t.ended_at, t.attempts, ` + content + `,
		t.started_at, t.duration_us, t.class, t.phase, t.status, t.message
		FROM sent_transactions t JOIN servers s ON s.nid = t.server JOIN sent_bodies b ON b.nid = t.body`
}

func scanSent(r rowScanner) (t SentTransaction, err error) {
	last := &t.Last
	var items []byte
	err = r.Scan(&t.Position, &t.Destination, &t.TxnID, &t.PDUs, &t.EDUs, &t.Through, &t.Parked, &t.Withdrawn, &t.FrozenAt,
		&t.EndedAt, &t.Attempts, &t.Body, &last.Bytes, &t.Reply, &items, &last.StartedAt, &last.DurationUS, &last.Class, &last.Phase, &last.Status, &last.Message)
	last.Number = t.Attempts
	if err != nil {
		return t, err
	}
	t.Items, err = unpackPositions(items)
	return t, err
}

func packPositions(positions []Position) []byte {
	values := make([]int64, len(positions))
	for i, p := range positions {
		values[i] = int64(p)
	}
	return packAscending(values)
}

func unpackPositions(packed []byte) ([]Position, error) {
	values, err := unpackAscending(packed)
	var positions []Position
	for _, v := range values {
		positions = append(positions, Position(v))
	}
	return positions, err
}
