// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// Forty days of steady traffic, with rooms whose servers change: from some time on no table grows.
func TestTheFileStopsGrowing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		const perDay = 32
		event := 0
		live := func(days int) map[string]int {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- transaction.NewRetention(b.store, nil).Run(ctx) }()
			for range days * perDay {
				servers := []ident.ServerName{"a.example"}
				for _, n := range []int{7, 11, 13, 17} {
					servers = append(servers, ident.ServerName(fmt.Sprintf("s%d.example", event%n)))
				}
				b.enqueue(event, event+1, servers...)
				receive(t, b.store, "a.example", fmt.Sprint("txn", event))
				event++
				time.Sleep(24 * time.Hour / perDay)
			}
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			b.stop()
			rows := tableRows(t, b.file)
			b.start()
			return rows
		}
		early := live(20)
		late := live(20)
		b.stop()
		const maxKeptSets = 1000
		if n := late["server_sets"]; n > maxKeptSets+late["outbound"] {
			t.Errorf("%d sets of servers are kept, %d rows may name one", n, late["outbound"])
		}
		delete(late, "server_sets")
		delete(late, "attempt_days") // of a month
		for table, n := range late {
			if n > early[table]+early[table]/20+1 {
				t.Errorf("%s has %d rows after 20 days and %d after 40", table, early[table], n)
			}
		}
		for _, table := range []string{"sent_transactions", "received_transactions", "outbound"} {
			if late[table] == 0 {
				t.Errorf("%s is empty", table)
			}
		}
		if n := late["received_transactions"]; n < perDay {
			t.Errorf("T-03: %d replies kept, %d came within a day", n, perDay)
		}
	})
}

func receive(t *testing.T, store *persistence.Store, origin ident.ServerName, id string) {
	t.Helper()
	err := store.Update(t.Context(), func(tx *persistence.Tx) error {
		_, err := tx.KeepReply(persistence.ReceivedTransaction{Origin: origin, TxnID: id, ReceivedAt: time.Now().UnixMilli(), Reply: []byte(`{}`)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// tableRows counts the rows of every table of a file.
func tableRows(t *testing.T, file string) map[string]int {
	t.Helper()
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	names, err := db.Query(`SELECT name FROM sqlite_schema WHERE type = 'table'`)
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]int{}
	for names.Next() {
		var name string
		if err := names.Scan(&name); err != nil {
			t.Fatal(err)
		}
		rows[name] = 0
	}
	for name := range rows {
		var n int
		if err := db.QueryRow(`SELECT COUNT(*) FROM ` + name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		rows[name] = n
	}
	return rows
}
