// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// attemptsAt is when a server was sent to, counted from start.
func (p *peers) attemptsAt(server ident.ServerName, start time.Time) (at []time.Duration) {
	for _, r := range p.sentTo(server) {
		at = append(at, r.at.Sub(start))
	}
	return at
}

func failing(f transport.Failure) func(request) (transport.Answer, error) {
	return func(request) (transport.Answer, error) { return transport.Answer{}, &f }
}

// Contact just after a failure is not forgotten: it brings on the next try once Contact has passed.
func TestContactSoonAfterAFailureCountsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.peers.answer = failing(transport.Failure{Class: "http5xx", Status: 502})
		start := time.Now()
		b.enqueue(0, 1, "a.example")
		time.Sleep(71 * time.Second) // tries at 0, 10, 30 and 70 s; by itself the next is at 150 s
		b.outbox.Heard("a.example")
		time.Sleep(30 * time.Second)
		want := []time.Duration{0, 10 * time.Second, 30 * time.Second, 70 * time.Second, 75 * time.Second}
		if got := b.peers.attemptsAt("a.example", start); !slices.Equal(got, want) {
			t.Errorf("attempts at %v, want %v", got, want)
		}
	})
}

// A server that comes back while an attempt hangs is heard although it is being sent to.
func TestContactDuringAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.peers.answer = failing(transport.Failure{Class: "timeout"})
		start := time.Now()
		b.enqueue(0, 1, "a.example")
		time.Sleep(69 * time.Second) // tries at 0, 10, 30 s
		b.peers.mu.Lock()
		b.peers.delay = 20 * time.Second
		b.peers.mu.Unlock()
		time.Sleep(11 * time.Second) // the fourth runs from 70 to 90 s
		b.outbox.Heard("a.example")
		time.Sleep(20 * time.Second)
		want := []time.Duration{0, 10 * time.Second, 30 * time.Second, 70 * time.Second, 95 * time.Second}
		if got := b.peers.attemptsAt("a.example", start); !slices.Equal(got, want) {
			t.Errorf("attempts at %v, want %v", got, want)
		}
	})
}

// a server that asked for a pause gets it although it sends to us meanwhile, also across a restart.
func TestContactDoesNotCutRetryAfterShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.peers.answer = failing(transport.Failure{Class: "http429", Status: 429, RetryAfter: 3 * time.Minute})
		start := time.Now()
		b.enqueue(0, 1, "a.example")
		time.Sleep(time.Minute)
		b.outbox.Heard("a.example")
		time.Sleep(time.Second)
		b.stop()
		b.start()
		b.outbox.Heard("a.example")
		time.Sleep(3 * time.Minute)
		want := []time.Duration{0, 3 * time.Minute}
		if got := b.peers.attemptsAt("a.example", start); !slices.Equal(got, want) {
			t.Errorf("attempts at %v, want %v", got, want)
		}
		b.stop()
	})
}

// Servers that are known to fail may hang for as long as they like: there are places left for the others.
func TestFailingServersLeavePlacesForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.peers.answer = func(r request) (transport.Answer, error) {
			if r.to == "well.example" {
				return transport.Answer{Status: 200, Body: []byte(`{"pdus":{}}`)}, nil
			}
			return transport.Answer{}, &transport.Failure{Class: "timeout"}
		}
		dead := make([]ident.ServerName, 3*testPolicy.Concurrent)
		for i := range dead {
			dead[i] = ident.ServerName(string(rune('a'+i)) + ".example")
		}
		b.enqueue(0, 1, dead...)
		time.Sleep(9 * time.Second)
		b.peers.mu.Lock()
		b.peers.delay = time.Minute
		b.peers.mu.Unlock()
		time.Sleep(2 * time.Second) // all are being tried again, and hang
		b.peers.mu.Lock()
		b.peers.delay = 0
		b.peers.mu.Unlock()
		b.enqueue(1, 2, "well.example")
		time.Sleep(time.Second)
		if got := pdus(t, b.peers.sentTo("well.example")); !slices.Equal(got, numbers(1, 2)) {
			t.Errorf("well.example got %v behind %d servers that hang", got, len(dead))
		}
	})
}

// A policy that leaves things out gets the defaults for them, not waits of no length and no places.
func TestPolicyOfWhichMostIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBenchOf(t, transaction.RetryPolicy{First: 10 * time.Second})
		defer b.stop()
		b.peers.answer = failing(transport.Failure{Class: "dial"})
		start := time.Now()
		b.enqueue(0, 1, "a.example")
		time.Sleep(71 * time.Second)
		want := []time.Duration{0, 10 * time.Second, 30 * time.Second, 70 * time.Second}
		if got := b.peers.attemptsAt("a.example", start); !slices.Equal(got, want) {
			t.Errorf("attempts at %v, want %v", got, want)
		}
	})
}
