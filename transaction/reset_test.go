// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// Reset tries those that are meant at once, also those that asked to be left alone, and their pauses begin anew. Others are not concerned.
func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.peers.answer = failing(transport.Failure{Class: transport.Class429, RetryAfter: 40 * time.Minute})
		b.enqueue(0, 1, "a.example", "b.example")
		time.Sleep(45 * time.Minute) // both have failed twice
		n, err := b.outbox.Reset(t.Context(), transaction.Names{"a.example": true, "unknown.example": true}, 0)
		if n != 1 || err != nil {
			t.Fatalf("Reset = %d, %v, want 1", n, err)
		}
		synctest.Wait()
		for server, want := range map[ident.ServerName]int{"a.example": 3, "b.example": 2} {
			if got := len(b.peers.sentTo(server)); got != want {
				t.Errorf("%s was tried %d times, want %d", server, got, want)
			}
		}
		for server, want := range map[ident.ServerName]int{"a.example": 1, "b.example": 2} {
			if d := b.stored(server); d.Failures != want {
				t.Errorf("%s has a streak of %d, want %d", server, d.Failures, want)
			}
		}
	})
}

func (b *bench) stored(server ident.ServerName) (d persistence.NumberedDestination) {
	b.t.Helper()
	err := b.store.View(b.t.Context(), func(tx *persistence.Tx) (err error) {
		d, _, err = tx.Destination(server)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

// A drop can be bounded to what was queued in a stretch of the log.
func TestDropOfAStretch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		var up atomic.Bool
		b.peers.answer = func(request) (transport.Answer, error) {
			if !up.Load() {
				return transport.Answer{}, &transport.Failure{Class: transport.ClassDial}
			}
			return taken, nil
		}
		b.enqueue(0, 6, "a.example")
		synctest.Wait() // the first attempt has failed
		var log []persistence.LoggedItem
		err := b.store.View(t.Context(), func(tx *persistence.Tx) (err error) {
			log, err = tx.LoggedItems(0, 100)
			return err
		})
		if err != nil || len(log) != 6 {
			t.Fatalf("%d rows in the log, %v", len(log), err)
		}
		drop := transaction.Drop{Servers: transaction.Pattern("a.example"), After: log[1].Position, Through: log[3].Position}
		if _, err := b.outbox.Drop(t.Context(), drop); err != nil {
			t.Fatal(err)
		}
		up.Store(true)
		time.Sleep(time.Hour)
		var answered []request
		if all := b.peers.sentTo("a.example"); len(all) > 0 {
			answered = all[slices.IndexFunc(all, func(r request) bool { return r.at.After(all[0].at) }):]
		}
		if got, want := pdus(t, answered), slices.Concat(numbers(0, 2), numbers(4, 6)); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
