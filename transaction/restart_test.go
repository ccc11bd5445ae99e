// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// A start looks at the log once, not once for each server that ever got anything.
func TestRestartAsksOnlyWhoIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.peers.answer = func(r request) (transport.Answer, error) {
			if r.to == "down.example" {
				return transport.Answer{}, &transport.Failure{Class: "dial"}
			}
			return transport.Answer{Status: 200, Body: []byte(`{"pdus":{}}`)}, nil
		}
		servers := []ident.ServerName{"down.example"}
		for i := range 200 {
			servers = append(servers, ident.ServerName(fmt.Sprintf("s%d.example", i)))
		}
		b.enqueue(0, 1, servers...)
		b.enqueue(1, 2, "down.example")
		time.Sleep(time.Second)
		b.stop()
		b.peers.answer = nil
		jobs := 0
		b.trace = trace.SinkFunc(func(e trace.Event) {
			if commit, ok := e.(trace.StoreCommit); ok {
				jobs += commit.Jobs
			}
		})
		b.start()
		time.Sleep(time.Minute)
		if got := pdus(t, b.peers.sentTo("down.example")); !slices.Equal(got[len(got)-2:], numbers(0, 2)) {
			t.Errorf("down.example got %v", got)
		}
		b.stop()
		if jobs > 10 {
			t.Errorf("%d jobs that write after a restart with one server behind of %d", jobs, len(servers))
		}
	})
}

// What was queued while nothing ran, and what was queued for a server after it had all else, goes out after a restart.
func TestRestartSendsWhatWasQueuedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.enqueue(0, 1, "a.example", "b.example")
		time.Sleep(time.Second)
		b.cancel()
		if err := <-b.done; err != nil {
			t.Fatal(err)
		}
		b.enqueue(1, 2, "a.example")
		b.enqueue(2, 3, "c.example")
		b.done <- nil
		b.stop()
		b.start()
		time.Sleep(time.Second)
		for server, want := range map[ident.ServerName][]string{
			"a.example": numbers(0, 2), "b.example": numbers(0, 1), "c.example": numbers(2, 3),
		} {
			if got := pdus(t, b.peers.sentTo(server)); !slices.Equal(got, want) {
				t.Errorf("%s got %v, want %v", server, got, want)
			}
		}
		b.stop()
	})
}

// A wait that a wrong clock once wrote down does not outlast the longest wait.
func TestRestartClampsTheStoredWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.peers.answer = failing(transport.Failure{Class: "dial"})
		b.enqueue(0, 1, "a.example")
		time.Sleep(time.Second)
		b.cancel()
		<-b.done
		err := b.store.Update(t.Context(), func(tx *persistence.Tx) error {
			list, err := tx.Destinations()
			if err != nil {
				return err
			}
			list[0].RetryAt = time.Now().AddDate(12, 0, 0).UnixMilli()
			return tx.SetDestination(list[0])
		})
		if err != nil {
			t.Fatal(err)
		}
		b.done <- nil
		b.stop()
		b.start()
		time.Sleep(testPolicy.Max + time.Second)
		if n := len(b.peers.sentTo("a.example")); n != 2 {
			t.Errorf("%d attempts, want 2", n)
		}
		b.stop()
	})
}

// An answer that comes in the very moment in which we are told to stop is an answer: it is kept and not asked for again.
func TestStopKeepsTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.peers.answer = func(request) (transport.Answer, error) {
			b.cancel()
			return transport.Answer{Status: 200, Body: []byte(`{"pdus":{}}`)}, nil
		}
		b.enqueue(0, 1, "a.example")
		time.Sleep(time.Second)
		b.stop()
		b.start()
		time.Sleep(time.Hour)
		if n := len(b.peers.sentTo("a.example")); n != 1 {
			t.Errorf("sent %d times, want once", n)
		}
		b.stop()
	})
}

// A log that cannot be trimmed for now, on a full disk for example, stops no delivery.
func TestTrimFailureStopsNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "strata.db")
	if err := openStore(t, persistence.Options{Path: file}).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`CREATE TRIGGER full BEFORE DELETE ON outbound BEGIN SELECT RAISE(ABORT, 'disk full'); END`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var failures []trace.TransactionStoreFailed
		b := &bench{t: t, file: file, peers: &peers{inFlight: map[ident.ServerName]int{}}, policy: testPolicy}
		b.trace = trace.SinkFunc(func(e trace.Event) {
			if failed, ok := e.(trace.TransactionStoreFailed); ok {
				failures = append(failures, failed)
			}
		})
		b.start()
		for i := range 200 {
			b.enqueue(i, i+1, "a.example")
			synctest.Wait()
		}
		if got := pdus(t, b.peers.sentTo("a.example")); !slices.Equal(got, numbers(0, 200)) {
			t.Errorf("a.example got %d PDUs, want 200", len(got))
		}
		b.stop()
		if len(failures) == 0 || !strings.Contains(failures[0].Error, "disk full") {
			t.Errorf("failures traced: %v", failures)
		}
	})
}

// A peer's answer can be as long as the transport lets it; what is kept of it is bounded.
func TestLongAnswersAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.peers.answer = func(request) (transport.Answer, error) {
			return transport.Answer{Status: 200, Body: []byte(`{"pdus":{},"x":"` + strings.Repeat("x", transaction.MaxKeptReply) + `"}`)}, nil
		}
		b.enqueue(0, 1, "a.example")
		time.Sleep(time.Second)
		err := b.store.View(t.Context(), func(tx *persistence.Tx) error {
			sent, err := tx.SentTransactions("a.example", 0, 1)
			if err != nil || len(sent) != 1 {
				t.Fatalf("%d transactions, %v", len(sent), err)
			}
			full, err := tx.SentTransactionsByID(sent[0].TxnID)
			if err != nil {
				return err
			}
			if got := full[0]; got.EndedAt == 0 || len(got.Reply) != 0 || got.Last.Message == "" {
				t.Errorf("ended at %d, reply of %d bytes, message %q", got.EndedAt, len(got.Reply), got.Last.Message)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}
