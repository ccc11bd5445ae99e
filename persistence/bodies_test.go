// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/strata-matrix/strata/transport/ident"
)

// What many servers are sent at once is stored once, and goes when the last of them is trimmed. Every transaction has its own bytes,
// also when the job that stored them first has failed.
func TestBodiesAreShared(t *testing.T) {
	s := newStore(t, Options{})
	servers := []ident.ServerName{"a.example", "b.example", "c.example"}
	enqueue(t, s, servers...)
	freeze := func(tx *Tx, body string) (list []SentTransaction) {
		for _, server := range servers {
			txn, err := tx.Freeze(SentTransaction{Destination: server, TxnID: fmt.Sprint(body, server), Body: []byte(body)})
			if err != nil {
				t.Error(err)
			}
			list = append(list, txn)
		}
		return list
	}
	stored := func(want int) {
		t.Helper()
		var n int
		update(t, s, func(tx *Tx) error {
			_, err := tx.queryRow(`SELECT count(*) FROM sent_bodies`, nil, &n)
			return err
		})
		if n != want {
			t.Errorf("%d bodies are stored, want %d", n, want)
		}
	}
	failed := errors.New("not this time")
	err := s.Update(context.Background(), func(tx *Tx) error {
		freeze(tx, "one")
		return failed
	})
	if !errors.Is(err, failed) {
		t.Error(err)
	}
	var sent []SentTransaction
	update(t, s, func(tx *Tx) error {
		sent = append(freeze(tx, "two"), freeze(tx, "one")...)
		return nil
	})
	stored(2)
	update(t, s, func(tx *Tx) error {
		for i, txn := range sent {
			got, err := tx.SentTransactionsByID(txn.TxnID)
			if err != nil || len(got) != 1 || string(got[0].Body) != string(txn.Body) {
				t.Errorf("%s: %+v, %v", txn.TxnID, got, err)
			}
			if err := tx.RecordSuccess(txn, Attempt{Number: 1}, int64(i+1), nil); err != nil {
				return err
			}
		}
		return nil
	})
	for _, step := range []struct{ trim, left int }{{2, 2}, {1, 1}, {2, 1}, {1, 0}} {
		update(t, s, func(tx *Tx) error {
			n, err := tx.TrimSent(100, step.trim)
			if n != int64(step.trim) {
				t.Errorf("%d trimmed, want %d", n, step.trim)
			}
			return err
		})
		stored(step.left)
	}
	update(t, s, func(tx *Tx) error { freeze(tx, "one"); return nil })
	stored(1)
}
