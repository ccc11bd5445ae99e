// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// fanOut is how many servers an event of BenchmarkFanOut goes to, and fanOutEvent how large it is: the mean of signed PDUs.
const (
	fanOut      = 1000
	fanOutEvent = 795 // bytes
)

// eager is a Sender that answers at once and counts.
type eager struct{ sent sync.WaitGroup }

func (e *eager) Do(context.Context, ident.ServerName, transport.Call) (transport.Answer, error) {
	e.sent.Done()
	return transport.Answer{Status: 200, Body: []byte(`{"pdus":{}}`)}, nil
}

// BenchmarkFanOut queues an event for a thousand servers and delivers it to each, to a sender that costs nothing. The floor is the
// same rows written in the same number of jobs by as many goroutines as there are places, with the same calls of the sender
// between them: what delivery costs if deciding who gets what and when costs nothing.
func BenchmarkFanOut(b *testing.B) {
	servers := make([]ident.ServerName, fanOut)
	for i := range servers {
		servers[i] = ident.ServerName(fmt.Sprintf("server%d.example", i))
	}
	event := []byte(`{"x":"` + strings.Repeat("0", fanOutEvent-len(`{"x":""}`)) + `"}`)
	deliver, stop := outboxOf(b, servers, event)
	floor := rowsOf(b, servers, event)
	deliver() // the servers become known
	floor()
	var took, least time.Duration
	for b.Loop() { // in turn, so that both see the same machine
		begun := time.Now()
		deliver()
		took += time.Since(begun)
		begun = time.Now()
		floor()
		least += time.Since(begun)
	}
	begun := time.Now()
	stop() // with what of the last event is still to be written
	took += time.Since(begun)
	b.ReportMetric(float64(took)/float64(b.N)/fanOut, "ns/delivery")
	b.ReportMetric(float64(least)/float64(b.N)/fanOut, "floor-ns/delivery")
	b.ReportMetric(float64(took)/float64(least), "ratio")
}

func benchStore(b *testing.B) *persistence.Store {
	b.Helper()
	store, err := persistence.Open(b.Context(), persistence.Options{Path: filepath.Join(b.TempDir(), "strata.db"), ServerName: "us.example"})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	return store
}

// outboxOf gives a function that queues the event and returns when every server was sent it, and one that ends the outbox.
func outboxOf(b *testing.B, servers []ident.ServerName, event []byte) (deliver, stop func()) {
	b.Helper()
	store, sender := benchStore(b), &eager{}
	outbox, err := transaction.NewOutbox(transaction.OutboxConfig{Self: "us.example", Store: store, Sender: sender})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- outbox.Run(ctx) }()
	deliver = func() {
		sender.sent.Add(len(servers))
		err := store.Update(b.Context(), func(tx *persistence.Tx) error {
			return outbox.EnqueuePDU(tx, "!r:us.example", "$e", event, servers)
		})
		if err != nil {
			b.Fatal(err)
		}
		sender.sent.Wait()
	}
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}
	return deliver, stop
}

// rowsOf gives a function that writes the rows which the delivery of the event leaves.
func rowsOf(b *testing.B, servers []ident.ServerName, event []byte) func() {
	b.Helper()
	store, sender := benchStore(b), &eager{}
	body := []byte(`{"origin":"us.example","origin_server_ts":1700000000000,"pdus":[` + string(event) + `]}`)
	must := func(job func(*persistence.Tx) error) {
		if err := store.Update(context.Background(), job); err != nil {
			b.Error(err)
		}
	}
	one := func(server ident.ServerName, through persistence.Position) {
		var txn persistence.SentTransaction
		must(func(tx *persistence.Tx) (err error) {
			txn, err = tx.Freeze(persistence.SentTransaction{
				Destination: server, TxnID: "0123456789abcdefghijklmn", Body: body, PDUs: 1, Through: through, FrozenAt: 1,
			})
			return err
		})
		answer, _ := sender.Do(context.Background(), server, transport.Call{})
		must(func(tx *persistence.Tx) error {
			attempt := persistence.Attempt{Number: 1, StartedAt: 1, Bytes: len(body), Class: persistence.ClassOK, Status: 200}
			if err := tx.RecordSuccess(txn, attempt, 2, answer.Body); err != nil {
				return err
			}
			return tx.SetDestination(persistence.Destination{Server: server, Cursor: through, LastSuccess: 2})
		})
	}
	return func() {
		var through persistence.Position
		must(func(tx *persistence.Tx) error {
			queued, err := tx.Enqueue(persistence.Outbound{Kind: persistence.KindPDU, EventID: "$e", Content: event}, servers)
			through = queued.Position
			return err
		})
		sender.sent.Add(len(servers))
		work := make(chan ident.ServerName)
		var wg sync.WaitGroup
		for range transaction.DefaultRetryPolicy().Concurrent * 3 / 4 { // the places of servers that are not failing
			wg.Go(func() {
				for server := range work {
					one(server, through)
				}
			})
		}
		for _, server := range servers {
			work <- server
		}
		close(work)
		wg.Wait()
	}
}
