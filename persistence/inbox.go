// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"github.com/strata-matrix/strata/transport/ident"
)

const inboxSchema = `
CREATE TABLE received_transactions (
	position    INTEGER PRIMARY KEY,
	server      INTEGER NOT NULL, -- servers.nid
	txn_id      TEXT NOT NULL,
	pdus        INTEGER NOT NULL,
	edus        INTEGER NOT NULL,
	received_at INTEGER NOT NULL,
	duration_us INTEGER NOT NULL,
	failed      INTEGER NOT NULL,
	reply       BLOB NOT NULL
);
CREATE UNIQUE INDEX received_transactions_id ON received_transactions (server, txn_id);`

// ReceivedTransaction is one inbound transaction and the reply that it was, and always will be, answered with (T-03).
type ReceivedTransaction struct {
	Position   Position
	Origin     ident.ServerName
	TxnID      string
	PDUs, EDUs int
	ReceivedAt int64 // ms
	DurationUS int64 // microseconds from arrival to the job that keeps the reply
	Failed     int   // PDUs whose result in the reply is an error
	Reply      []byte
}

// KeepReply stores an inbound transaction with its reply and gives it its position.
func (tx *Tx) KeepReply(t ReceivedTransaction) (Position, error) {
	server, err := tx.internServer(t.Origin)
	if err != nil {
		return 0, err
	}
	position, err := tx.NextPosition()
	if err != nil {
		return 0, err
	}
	return position, tx.exec(`INSERT INTO received_transactions (position, server, txn_id, pdus, edus, received_at, duration_us, failed, reply)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		int64(position), server, t.TxnID, t.PDUs, t.EDUs, t.ReceivedAt, t.DurationUS, t.Failed, t.Reply)
}

// KeptReply gives the inbound transaction that an origin sent under an id.
func (tx *Tx) KeptReply(origin ident.ServerName, txnID string) (t ReceivedTransaction, found bool, err error) {
	err = tx.query(receivedColumns+` WHERE t.server = (SELECT nid FROM servers WHERE name = ?) AND t.txn_id = ?`,
		[]any{string(origin), txnID}, func(r rowScanner) error {
			found = true
			t, err = scanReceived(r)
			return err
		})
	return t, found, err
}

// ReceivedTransactions lists inbound transactions, newest first, those before a position when it is not 0. An empty origin
// means all.
func (tx *Tx) ReceivedTransactions(origin ident.ServerName, before Position, limit int) (list []ReceivedTransaction, err error) {
	where, args := ` WHERE ?1 = 0 OR t.position < ?1`, []any{int64(before), limit}
	if origin != "" { // read by the index, which leads to no other server's
		where = ` WHERE t.position IN (SELECT position FROM received_transactions INDEXED BY received_transactions_id
			WHERE server = (SELECT nid FROM servers WHERE name = ?3) AND (?1 = 0 OR position < ?1) ORDER BY position DESC LIMIT ?2)`
		args = append(args, string(origin))
	}
	err = tx.query(receivedColumns+where+` ORDER BY t.position DESC LIMIT ?2`, args, func(r rowScanner) error {
		t, err := scanReceived(r)
		list = append(list, t)
		return err
	})
	return list, err
}

// ReceivedTransactionsByID gives the inbound transactions with an id, one for each origin that used it.
func (tx *Tx) ReceivedTransactionsByID(txnID string) (list []ReceivedTransaction, err error) {
	// The servers are named so that the index, which begins with them, is of use.
	err = tx.query(receivedColumns+` WHERE t.server IN (SELECT nid FROM servers) AND t.txn_id = ? ORDER BY t.position`, []any{txnID}, func(r rowScanner) error {
		t, err := scanReceived(r)
		list = append(list, t)
		return err
	})
	return list, err
}

const receivedColumns = `SELECT t.position, s.name, t.txn_id, t.pdus, t.edus, t.received_at, t.duration_us, t.failed, t.reply
	FROM received_transactions t JOIN servers s ON s.nid = t.server`

func scanReceived(r rowScanner) (t ReceivedTransaction, err error) {
	return t, r.Scan(&t.Position, &t.Origin, &t.TxnID, &t.PDUs, &t.EDUs, &t.ReceivedAt, &t.DurationUS, &t.Failed, &t.Reply)
}
