// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// peers is a Sender that plays every destination. answer decides; what was sent is kept in order.
type peers struct {
	mu       sync.Mutex
	requests []request
	inFlight map[ident.ServerName]int
	overlap  bool
	answer   func(request) (transport.Answer, error)
	version  func(ident.ServerName) error // what it says to a request that is no transaction; nil: it is dead to all of them
	delay    time.Duration
}

type request struct {
	to    ident.ServerName
	txnID string
	body  string
	at    time.Time
}

func (p *peers) Do(ctx context.Context, to ident.ServerName, call transport.Call) (transport.Answer, error) {
	if !strings.Contains(call.Path, "/send/") {
		if p.version == nil {
			return transport.Answer{}, &transport.Failure{Class: transport.ClassDial}
		}
		return transport.Answer{Status: 200, Body: []byte(`{}`)}, p.version(to)
	}
	r := request{to, path.Base(call.Path), string(call.Body), time.Now()}
	p.mu.Lock()
	p.requests = append(p.requests, r)
	p.inFlight[to]++
	p.overlap = p.overlap || p.inFlight[to] > 1
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.inFlight[to]--
		p.mu.Unlock()
	}()
	p.mu.Lock()
	delay := p.delay
	p.mu.Unlock()
	if delay > 0 { // the race detector does not survive many timers of a bubble that are due already
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return transport.Answer{}, ctx.Err()
		}
	}
	if p.answer == nil {
		return transport.Answer{Status: 200, Body: []byte(`{"pdus":{}}`)}, nil
	}
	return p.answer(r)
}

// answered is sentTo without the requests that failed, each of which another one with the same id follows.
func (p *peers) answered(server ident.ServerName) (list []request) {
	for _, r := range p.sentTo(server) {
		if n := len(list); n > 0 && list[n-1].txnID == r.txnID {
			continue
		}
		list = append(list, r)
	}
	return list
}

func (p *peers) sentTo(server ident.ServerName) (list []request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		if r.to == server {
			list = append(list, r)
		}
	}
	return list
}

// pdus lists the contents of the PDUs of requests, in order.
func pdus(t *testing.T, requests []request) (list []string) {
	t.Helper()
	for _, r := range requests {
		var body struct{ PDUs []json.RawMessage }
		if err := json.Unmarshal([]byte(r.body), &body); err != nil {
			t.Fatal(err)
		}
		for _, pdu := range body.PDUs {
			list = append(list, string(pdu))
		}
	}
	return list
}

// bench is a store with an outbox over it that can be stopped and started again.
type bench struct {
	t      *testing.T
	file   string
	peers  *peers
	policy transaction.RetryPolicy
	trace  trace.Sink // of the store and the outbox, from the next start on

	rooms   transaction.Rooms // of the outbox, likewise
	backlog transaction.Backlog

	store *persistence.Store

	commitPoint func(persistence.Point) error // likewise

	outbox *transaction.Outbox
	cancel context.CancelFunc
	done   chan error
}

func newBench(t *testing.T) *bench { return newBenchOf(t, testPolicy) }

func newBenchOf(t *testing.T, policy transaction.RetryPolicy) *bench {
	b := &bench{t: t, file: filepath.Join(t.TempDir(), "strata.db"), policy: policy}
	b.peers = &peers{inFlight: map[ident.ServerName]int{}}
	b.start()
	return b
}

var testPolicy = transaction.RetryPolicy{
	First: 10 * time.Second, Max: time.Hour, Factor: 2, Contact: 5 * time.Second, AttemptTimeout: time.Minute, Concurrent: 8,
}

func (b *bench) start() {
	b.t.Helper()
	store, err := persistence.Open(b.t.Context(), persistence.Options{
		Path: b.file, ServerName: "us.example", NoSync: true, Trace: b.trace, CommitPoint: b.commitPoint,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.store = store
	b.outbox, err = transaction.NewOutbox(transaction.OutboxConfig{
		Self: "us.example", Store: store, Sender: b.peers, Rooms: b.rooms, Backlog: b.backlog, Policy: b.policy, Jitter: 1, Trace: b.trace,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel, b.done = cancel, make(chan error, 1)
	go func() { b.done <- b.outbox.Run(ctx) }()
}

func (b *bench) stop() {
	b.t.Helper()
	b.cancel()
	if err := <-b.done; err != nil {
		b.t.Errorf("Run: %v", err)
	}
	if err := b.store.Close(); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) enqueue(from, to int, servers ...ident.ServerName) {
	b.t.Helper()
	for i := from; i < to; i++ {
		err := b.store.Update(b.t.Context(), func(tx *persistence.Tx) error {
			return b.outbox.EnqueuePDU(tx, "!r:us.example", ident.EventID(fmt.Sprint("$", i)), []byte(fmt.Sprintf(`{"n":%d}`, i)), servers)
		})
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

func numbers(from, to int) (list []string) {
	for i := from; i < to; i++ {
		list = append(list, fmt.Sprintf(`{"n":%d}`, i))
	}
	return list
}

func TestOutboxDeliversInOrderOneInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.peers.delay = time.Second
		b.enqueue(0, 120, "a.example", "b.example", "us.example")
		b.enqueue(120, 125, "b.example")
		time.Sleep(time.Minute)
		if got, want := pdus(t, b.peers.sentTo("a.example")), numbers(0, 120); !slices.Equal(got, want) {
			t.Errorf("a.example got %v", got)
		}
		if got, want := pdus(t, b.peers.sentTo("b.example")), numbers(0, 125); !slices.Equal(got, want) {
			t.Errorf("b.example got %v", got)
		}
		if b.peers.overlap {
			t.Error("T-02: two transactions in flight to one destination")
		}
		if len(b.peers.sentTo("us.example")) > 0 {
			t.Error("sent to ourselves")
		}
		for _, r := range b.peers.sentTo("a.example") {
			if n := len(pdus(t, []request{r})); n > transaction.MaxPDUs {
				t.Errorf("T-01: %d PDUs in a transaction", n)
			}
		}
	})
}

// T-02: until a 200 comes the same id carries the same bytes, whatever is queued meanwhile and across a restart.
func TestOutboxRetriesTheFrozenTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var up atomic.Bool
		b.peers.answer = func(request) (transport.Answer, error) {
			if !up.Load() {
				return transport.Answer{}, &transport.Failure{Class: "dial", Message: "connection refused"}
			}
			return transport.Answer{Status: 200, Body: []byte(`{"pdus":{}}`)}, nil
		}
		b.enqueue(0, 3, "a.example")
		time.Sleep(time.Second)
		b.enqueue(3, 6, "a.example")
		time.Sleep(15 * time.Second) // one retry at 10 s
		tries := len(b.peers.sentTo("a.example"))
		b.stop()
		b.start()
		synctest.Wait()
		if got := len(b.peers.sentTo("a.example")); got != tries {
			t.Errorf("the restart forgot the back-off: %d attempts, %d before", got, tries)
		}
		up.Store(true)
		time.Sleep(time.Hour)
		requests := b.peers.sentTo("a.example")
		first := requests[0]
		for _, r := range requests[:tries+1] {
			if r.txnID != first.txnID || r.body != first.body {
				t.Errorf("attempt with id %s and body %s, the first had %s and %s", r.txnID, r.body, first.txnID, first.body)
			}
		}
		if got, want := pdus(t, requests[tries:]), numbers(0, 6); !slices.Equal(got, want) {
			t.Errorf("delivered %v, want %v", got, want)
		}
		b.stop()
	})
}

func TestOutboxBackOffGrowsAndContactCutsItShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.peers.answer = func(request) (transport.Answer, error) {
			return transport.Answer{}, &transport.Failure{Class: "http5xx", Status: 502, Message: "bad gateway"}
		}
		start := time.Now()
		b.enqueue(0, 1, "a.example")
		time.Sleep(74 * time.Second)
		var at []time.Duration
		for _, r := range b.peers.sentTo("a.example") {
			at = append(at, r.at.Sub(start))
		}
		if want := []time.Duration{0, 10 * time.Second, 30 * time.Second, 70 * time.Second}; !slices.Equal(at, want) {
			t.Fatalf("attempts at %v, want %v", at, want)
		}
		b.outbox.Heard("a.example") // within Contact of the last failure: counts once that has passed
		b.outbox.Heard("never-heard-of.example")
		synctest.Wait()
		if n := len(b.peers.sentTo("a.example")); n != 4 {
			t.Errorf("%d attempts, contact just after a failure must not bring on another", n)
		}
		time.Sleep(5 * time.Second)
		if n := len(b.peers.sentTo("a.example")); n != 5 {
			t.Errorf("%d attempts after contact, want 5", n)
		}
		var d persistence.Destination
		err := b.store.View(t.Context(), func(tx *persistence.Tx) error {
			list, err := tx.Destinations()
			d = list[0]
			return err
		})
		if err != nil || d.Failures != 5 {
			t.Errorf("streak of %d failures (%v), want 5: contact does not forget it", d.Failures, err)
		}
	})
}

// A lost reply: the peer took the transaction, we did not hear. It is sent again with its id, and then the log moves on.
func TestOutboxKeepsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		tries := 0
		b.peers.answer = func(request) (transport.Answer, error) {
			if tries++; tries < 20 {
				return transport.Answer{}, &transport.Failure{Class: "timeout", Message: "no answer"}
			}
			return transport.Answer{Status: 200, Body: []byte(`{"pdus":{"$0":{"error":"no"}}}`)}, nil
		}
		b.enqueue(0, 1, "a.example")
		time.Sleep(48 * time.Hour)
		err := b.store.View(t.Context(), func(tx *persistence.Tx) error {
			sent, err := tx.SentTransactions("a.example", 0, 10)
			if err != nil || len(sent) != 1 {
				t.Fatalf("%d transactions, %v", len(sent), err)
			}
			full, err := tx.SentTransactionsByID(sent[0].TxnID)
			if err != nil || len(full) != 1 {
				t.Fatalf("%d transactions with id %s, %v", len(full), sent[0].TxnID, err)
			}
			if got := full[0]; got.Attempts != 20 || got.EndedAt == 0 || got.Last.Class != "ok" || string(got.Reply) != `{"pdus":{"$0":{"error":"no"}}}` {
				t.Errorf("transaction = %+v", got)
			}
			attempts, err := tx.Attempts(sent[0])
			if len(attempts) != 20 || attempts[0].Number != 1 || attempts[0].Class != "timeout" || attempts[19].Class != "ok" {
				t.Errorf("%d attempts kept, the first %+v", len(attempts), attempts[0])
			}
			if err != nil {
				return err
			}
			days, err := tx.AttemptDays("a.example")
			failed, ok, bytes := 0, 0, int64(0)
			for _, day := range days {
				bytes += day.Bytes
				if day.Class == "ok" {
					ok += day.Attempts
				} else {
					failed += day.Attempts
				}
			}
			if failed != 19 || ok != 1 || bytes != int64(20*len(full[0].Body)) {
				t.Errorf("counted %d failures and %d successes of %d bytes in %+v", failed, ok, bytes, days)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestOutboxHonoursRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.peers.answer = func(request) (transport.Answer, error) {
			return transport.Answer{}, &transport.Failure{Class: "http429", Status: 429, RetryAfter: 3 * time.Minute}
		}
		b.enqueue(0, 1, "a.example")
		time.Sleep(3*time.Minute - time.Second)
		if n := len(b.peers.sentTo("a.example")); n != 1 {
			t.Errorf("%d attempts before Retry-After was over", n)
		}
		time.Sleep(2 * time.Second)
		if n := len(b.peers.sentTo("a.example")); n != 2 {
			t.Errorf("%d attempts after Retry-After was over, want 2", n)
		}
	})
}

// The log is forgotten once everyone has it, and nothing that someone still needs is.
func TestOutboxTrimsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		var slowIsUp atomic.Bool
		b.peers.answer = func(r request) (transport.Answer, error) {
			if !slowIsUp.Load() && r.to == "slow.example" {
				return transport.Answer{}, &transport.Failure{Class: "dial"}
			}
			return transport.Answer{Status: 200, Body: []byte(`{}`)}, nil
		}
		const rounds = 150
		for i := range rounds {
			b.enqueue(i, i+1, "a.example", "slow.example")
			time.Sleep(time.Millisecond)
		}
		slowIsUp.Store(true)
		time.Sleep(2 * time.Hour)
		if got, want := pdus(t, b.peers.answered("slow.example")), numbers(0, rounds); !slices.Equal(got, want) {
			t.Errorf("slow.example got %v, want %v", got, want)
		}
		for i := range rounds {
			b.enqueue(rounds+i, rounds+i+1, "a.example", "slow.example")
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Hour)
		var left int
		err := b.store.View(t.Context(), func(tx *persistence.Tx) error {
			_, _, err := tx.NextOutbound("a.example", 0, 10*rounds, func(persistence.Outbound) bool { left++; return true })
			return err
		})
		if err != nil || left >= rounds {
			t.Errorf("%d of %d rows left in the log (%v)", left, 2*rounds, err)
		}
	})
}
