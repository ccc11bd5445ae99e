// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

var taken = transport.Answer{Status: 200, Body: []byte(`{"pdus":{}}`)}

// picky is a destination that refuses transactions in which something stands, and keeps what it took.
type picky struct {
	bench   *bench
	refuses func(body string) error // nil: it takes it

	mu   sync.Mutex
	took []request
}

func newPicky(b *bench, refuses func(body string) error) *picky {
	p := &picky{bench: b, refuses: refuses}
	b.peers.version = func(ident.ServerName) error { return nil }
	b.peers.answer = func(r request) (transport.Answer, error) {
		if err := p.refuses(r.body); err != nil {
			return transport.Answer{}, err
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.took = append(p.took, r)
		return taken, nil
	}
	return p
}

func (p *picky) taken() []request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.took)
}

func (p *picky) parked() (list []persistence.Parked) {
	p.bench.t.Helper()
	err := p.bench.store.View(p.bench.t.Context(), func(tx *persistence.Tx) (err error) {
		list, err = tx.ParkedItems("", 10_000)
		return err
	})
	if err != nil {
		p.bench.t.Fatal(err)
	}
	return list
}

// queue queues an event of a room.
func (b *bench) queue(room ident.RoomID, n int, server ident.ServerName) {
	b.t.Helper()
	err := b.store.Update(b.t.Context(), func(tx *persistence.Tx) error {
		id := ident.EventID(fmt.Sprint("$", n))
		return b.outbox.EnqueuePDU(tx, room, id, []byte(fmt.Sprintf(`{"n":%d,"room":%q}`, n, room)), []ident.ServerName{server})
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func content(status int) error {
	return &transport.Failure{Class: transport.Class4xxContent, Status: status, Code: "M_BAD_JSON", Message: "no"}
}

// enqueueAtOnce is enqueue with everything in one transaction of the store, so that it is batched.
func (b *bench) enqueueAtOnce(from, to int, server ident.ServerName) {
	b.t.Helper()
	err := b.store.Update(b.t.Context(), func(tx *persistence.Tx) error {
		for i := from; i < to; i++ {
			err := b.outbox.EnqueuePDU(tx, "!r:us.example", ident.EventID(fmt.Sprint("$", i)), []byte(fmt.Sprintf(`{"n":%d}`, i)), []ident.ServerName{server})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// without is numbers but for some.
func without(from, to int, missing ...int) (list []string) {
	for i := from; i < to; i++ {
		if !slices.Contains(missing, i) {
			list = append(list, fmt.Sprintf(`{"n":%d}`, i))
		}
	}
	return list
}

// One event that is refused for ever, wherever it stands and however it is refused, is parked; all others are taken, in order, in
// a number of requests that grows with the logarithm of the batch.
func TestPoisonIsParkedAndTheRestMovesOn(t *testing.T) {
	fault := func(class transport.Class, status int, phase transport.Phase) error {
		return &transport.Failure{Class: class, Status: status, Phase: phase, Message: "no"}
	}
	for _, tt := range []struct {
		name     string
		poison   []int
		err      error
		requests int
		within   time.Duration
	}{
		{"the first", []int{0}, content(400), 14, 5 * time.Minute},
		{"in the middle", []int{30}, content(400), 14, 5 * time.Minute},
		{"the last", []int{49}, content(400), 14, 5 * time.Minute},
		{"in the second batch", []int{70}, content(403), 14, 5 * time.Minute},
		{"two", []int{10, 90}, content(400), 26, 10 * time.Minute},
		{"two side by side", []int{10, 11}, content(400), 30, 10 * time.Minute},
		{"too large", []int{30}, fault(transport.ClassNotJSON, 413, transport.PhaseReply), 14, 5 * time.Minute},
		{"it crashes the peer", []int{30}, fault(transport.Class5xx, 500, transport.PhaseReply), 60, 2 * time.Hour},
		{"it hangs the peer", []int{30}, fault(transport.ClassTimeout, 0, transport.PhaseReply), 60, 2 * time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				defer b.stop()
				peer := newPicky(b, func(body string) error {
					for _, n := range tt.poison {
						if strings.Contains(body, fmt.Sprintf(`{"n":%d}`, n)) {
							return tt.err
						}
					}
					return nil
				})
				b.enqueueAtOnce(0, 100, "a.example")
				time.Sleep(tt.within)
				if got, want := pdus(t, peer.taken()), without(0, 100, tt.poison...); !slices.Equal(got, want) {
					t.Errorf("took %v, want %v", got, want)
				}
				parked := peer.parked()
				var ids []ident.EventID
				for _, p := range parked {
					ids = append(ids, p.EventID)
				}
				if len(ids) != len(tt.poison) || ids[0] != ident.EventID(fmt.Sprint("$", tt.poison[0])) || parked[0].Message == "" {
					t.Errorf("parked %v, want %v", parked, tt.poison)
				}
				requests := b.peers.sentTo("a.example")
				if len(requests) > tt.requests {
					t.Errorf("%d requests, want no more than %d", len(requests), tt.requests)
				}
				bodies := map[string]string{}
				for _, r := range requests {
					if body, known := bodies[r.txnID]; known && body != r.body {
						t.Errorf("T-02: id %s carried %s and %s", r.txnID, body, r.body)
					}
					bodies[r.txnID] = r.body
				}
			})
		})
	}
}

// A server that refuses whatever comes refuses nothing in particular: nothing is parked, and when it changes its mind it gets all.
func TestRefusalOfEverythingParksNothing(t *testing.T) {
	for name, err := range map[string]error{
		"we are not on its list": content(403),
		"its store is broken":    &transport.Failure{Class: transport.Class5xx, Status: 500, Code: "M_UNKNOWN", Phase: transport.PhaseReply},
		"no such endpoint":       content(404),
		"its proxy says so":      &transport.Failure{Class: transport.Class5xx, Status: 502},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				defer b.stop()
				var up atomic.Bool
				peer := newPicky(b, func(string) error {
					if up.Load() {
						return nil
					}
					return err
				})
				b.enqueueAtOnce(0, 60, "a.example")
				time.Sleep(7 * 24 * time.Hour)
				if n := len(b.peers.sentTo("a.example")); n > 7*24+20 { // testPolicy waits an hour at most
					t.Errorf("%d requests in a week", n)
				}
				up.Store(true)
				time.Sleep(3 * time.Hour)
				if got := pdus(t, peer.taken()); !slices.Equal(got, numbers(0, 60)) {
					t.Errorf("took %v", got)
				}
				if parked := peer.parked(); len(parked) > 0 {
					t.Errorf("parked %v", parked)
				}
			})
		})
	}
}

// T-02: silence alone withdraws nothing. A server that is dead gets the same transaction for as long as it takes.
func TestSilenceOfADeadServerWithdrawsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.peers.answer = failing(transport.Failure{Class: transport.ClassTimeout, Phase: transport.PhaseReply})
		b.enqueue(0, 3, "a.example")
		time.Sleep(7 * 24 * time.Hour)
		requests := b.peers.sentTo("a.example")
		for _, r := range requests {
			if r.txnID != requests[0].txnID || r.body != requests[0].body {
				t.Fatalf("sent %s after %s", r.txnID, requests[0].txnID)
			}
		}
	})
}

// A room of which a server refuses every event is parked batch by batch, not event by event, and delays no other room.
func TestRefusedRoomIsParkedAsAWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		var healed atomic.Bool
		peer := newPicky(b, func(body string) error {
			if !healed.Load() && strings.Contains(body, "!bad") {
				return content(400)
			}
			return nil
		})
		const events = 400
		for n := range events {
			room := ident.RoomID("!good")
			if n%2 == 0 {
				room = "!bad"
			}
			b.queue(room, n, "a.example")
		}
		time.Sleep(6 * time.Hour)
		if n := len(pdus(t, peer.taken())); n != events/2 {
			t.Errorf("took %d events, want %d", n, events/2)
		}
		if n := len(peer.parked()); n != events/2 {
			t.Errorf("%d parked, want %d", n, events/2)
		}
		healed.Store(true)
		time.Sleep(26 * time.Hour) // what is parked is tried once a day at least
		if n := len(peer.parked()); n != 0 {
			t.Errorf("%d parked after the server was mended", n)
		}
		if n := len(pdus(t, peer.taken())); n != events {
			t.Errorf("took %d events, want %d", n, events)
		}
	})
}

// What is parked stays so over a restart, is tried again rarely, and at once when an operator says so.
func TestParkedIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var healed atomic.Bool
		peer := newPicky(b, func(body string) error {
			if !healed.Load() && strings.Contains(body, `{"n":1}`) {
				return content(400)
			}
			return nil
		})
		b.enqueueAtOnce(0, 3, "a.example")
		time.Sleep(10 * time.Minute)
		before := len(b.peers.sentTo("a.example"))
		b.stop()
		b.start()
		time.Sleep(24 * time.Hour)
		if n := len(b.peers.sentTo("a.example")) - before; n < 3 || n > 8 {
			t.Errorf("tried %d times in a day, want a few", n)
		}
		healed.Store(true)
		b.enqueue(3, 4, "a.example") // what is parked holds up nothing
		time.Sleep(time.Second)
		if n, err := b.outbox.Retry(t.Context(), transaction.Retry{Servers: transaction.Pattern("*"), Parked: true}); n != 1 || err != nil {
			t.Errorf("Retry = %d, %v, want 1 server", n, err)
		}
		time.Sleep(time.Minute)
		if got, want := pdus(t, peer.taken()), append(without(0, 4, 1), `{"n":1}`); !slices.Equal(got, want) {
			t.Errorf("took %v, want %v", got, want)
		}
		if parked := peer.parked(); len(parked) > 0 {
			t.Errorf("still parked: %v", parked)
		}
		b.stop()
	})
}
