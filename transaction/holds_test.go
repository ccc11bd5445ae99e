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

// A rule keeps everything queued for those that match, servers of which nothing was known included, over restarts, until it is
// taken back; others are not concerned.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.enqueue(0, 1, "a.held.example", "free.example")
		time.Sleep(time.Second)
		if err := b.outbox.Hold(t.Context(), "*.held.example", "migration"); err != nil {
			t.Fatal(err)
		}
		b.enqueue(1, 3, "a.held.example", "b.held.example", "free.example")
		time.Sleep(time.Hour)
		b.stop()
		b.start()
		b.outbox.Heard("a.held.example")
		b.enqueue(3, 4, "a.held.example", "free.example")
		time.Sleep(time.Hour)
		for server, want := range map[ident.ServerName][]string{"a.held.example": numbers(0, 1), "b.held.example": nil, "free.example": numbers(0, 4)} {
			if got := pdus(t, b.peers.sentTo(server)); !slices.Equal(got, want) {
				t.Errorf("held: %s got %v, want %v", server, got, want)
			}
		}
		if found, err := b.outbox.Unhold(t.Context(), "a.held.example"); found || err != nil {
			t.Errorf("Unhold of a pattern that there is not = %t, %v", found, err)
		}
		if found, err := b.outbox.Unhold(t.Context(), "*.held.example"); !found || err != nil {
			t.Errorf("Unhold = %t, %v", found, err)
		}
		time.Sleep(time.Minute)
		for server, want := range map[ident.ServerName][]string{"a.held.example": numbers(0, 4), "b.held.example": numbers(1, 3)} {
			if got := pdus(t, b.peers.sentTo(server)); !slices.Equal(got, want) {
				t.Errorf("released: %s got %v, want %v", server, got, want)
			}
		}
		b.stop()
	})
}

// A server that is held while it backs off is not tried when its time comes, and is once it is released.
func TestHoldOfOneThatBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.peers.answer = failing(transport.Failure{Class: transport.ClassDial})
		b.enqueue(0, 1, "a.example")
		time.Sleep(time.Second)
		if err := b.outbox.Hold(t.Context(), "a.example", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := len(b.peers.sentTo("a.example")); n != 1 {
			t.Errorf("%d attempts while it was held, want 1 from before", n)
		}
		if _, err := b.outbox.Unhold(t.Context(), "a.example"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := len(b.peers.sentTo("a.example")); n != 2 {
			t.Errorf("%d attempts after it was released, want 2", n)
		}
	})
}

// Retry brings on those that are meant, spread over the time given, and forgets no streak.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.peers.answer = func(r request) (transport.Answer, error) {
			class := transport.ClassDial
			if r.to == "tls.example" {
				class = transport.ClassTLS
			}
			return transport.Answer{}, &transport.Failure{Class: class}
		}
		b.enqueue(0, 1, "a.example", "b.example", "c.example", "tls.example")
		time.Sleep(20 * time.Minute) // the next try by itself is at 21:10
		start := time.Now()
		n, err := b.outbox.Retry(t.Context(), transaction.Retry{Servers: transaction.Pattern("*.example"), Class: "dial", Spread: time.Minute})
		if n != 3 || err != nil {
			t.Fatalf("Retry = %d, %v, want 3", n, err)
		}
		time.Sleep(65 * time.Second)
		var at []time.Duration
		for _, server := range []ident.ServerName{"a.example", "b.example", "c.example", "tls.example"} {
			for _, r := range b.peers.sentTo(server) {
				if since := r.at.Sub(start); since >= 0 {
					at = append(at, since)
				}
			}
		}
		if len(at) != 3 || slices.Max(at)-slices.Min(at) < time.Second || slices.Max(at) > time.Minute {
			t.Errorf("tried at %v, want three, spread over a minute", at)
		}
		err = b.store.View(t.Context(), func(tx *persistence.Tx) error {
			list, err := tx.Destinations()
			for _, d := range list {
				if d.Server != "tls.example" && d.Failures != 8 { // at 0:00, 0:10, 0:30, 1:10, 2:30, 5:10, 10:30, and now
					t.Errorf("%s: streak of %d", d.Server, d.Failures)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

// What is dropped is not sent, frozen or not; what does not fit, and what comes later, is.
func TestDrop(t *testing.T) {
	for _, tt := range []struct {
		name string
		drop transaction.Drop
		want map[ident.ServerName][]string
	}{
		{
			"all of one server", transaction.Drop{Servers: transaction.Pattern("a.example")},
			map[ident.ServerName][]string{"a.example": {"late"}, "b.example": {"r0", "s0", "r1", "s1", "late"}},
		},
		{
			"one room", transaction.Drop{Servers: transaction.Pattern("*"), Room: "!r"},
			map[ident.ServerName][]string{"a.example": {"s0", "s1", "late"}, "b.example": {"s0", "s1", "late"}},
		},
		{
			"one event", transaction.Drop{Servers: transaction.Pattern("a.example"), Event: "$s0"},
			map[ident.ServerName][]string{"a.example": {"r0", "r1", "s1", "late"}, "b.example": {"r0", "s0", "r1", "s1", "late"}},
		},
		{
			"EDUs only", transaction.Drop{Servers: transaction.Pattern("*"), Kind: persistence.KindEDU},
			map[ident.ServerName][]string{"a.example": {"r0", "s0", "r1", "s1", "late"}, "b.example": {"r0", "s0", "r1", "s1", "late"}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				var up atomic.Bool
				b.peers.answer = func(request) (transport.Answer, error) {
					if !up.Load() {
						return transport.Answer{}, &transport.Failure{Class: transport.ClassDial}
					}
					return taken, nil
				}
				send := func(room ident.RoomID, id string) {
					err := b.store.Update(t.Context(), func(tx *persistence.Tx) error {
						return b.outbox.EnqueuePDU(tx, room, ident.EventID("$"+id), []byte(`"`+id+`"`), []ident.ServerName{"a.example", "b.example"})
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				send("!r", "r0") // frozen by itself
				time.Sleep(time.Second)
				send("!s", "s0")
				send("!r", "r1")
				send("!s", "s1")
				if _, err := b.outbox.Drop(t.Context(), tt.drop); err != nil {
					t.Fatal(err)
				}
				send("!r", "late")
				b.stop()
				up.Store(true)
				b.start()
				time.Sleep(time.Hour)
				for server, want := range tt.want {
					var got []string
					const failed = 1 // the first attempt
					for _, pdu := range pdus(t, b.peers.sentTo(server)[failed:]) {
						got = append(got, pdu[1:len(pdu)-1])
					}
					if !slices.Equal(got, want) {
						t.Errorf("%s got %v, want %v", server, got, want)
					}
				}
				b.stop()
			})
		})
	}
}
