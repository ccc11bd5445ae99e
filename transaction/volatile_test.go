// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

func (b *bench) typing(key string, n int, servers ...ident.ServerName) {
	b.t.Helper()
	edu := transaction.Volatile{Type: "m.typing", Key: key, Content: fmt.Appendf(nil, `{"key":%q,"n":%d}`, key, n)}
	if err := b.outbox.EnqueueVolatile(edu, servers); err != nil {
		b.t.Fatal(err)
	}
}

// edusOf lists the EDUs of requests, in order: what is durable as edu:n, the rest as key:n.
func edusOf(t *testing.T, requests []request) (list []string) {
	t.Helper()
	for _, r := range requests {
		var body struct {
			EDUs []struct {
				EDU     *int
				Content struct {
					Key string
					N   int
				}
			}
		}
		if err := json.Unmarshal([]byte(r.body), &body); err != nil {
			t.Fatal(err)
		}
		for _, e := range body.EDUs {
			if e.EDU != nil {
				list = append(list, fmt.Sprintf("edu:%d", *e.EDU))
			} else {
				list = append(list, fmt.Sprintf("%s:%d", e.Content.Key, e.Content.N))
			}
		}
	}
	return list
}

// While a transaction is in flight typing notices pile up: of each key only the latest goes out, behind what is durable, and to a
// server that nothing was ever queued for as well.
func TestVolatileEDUsAreCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.peers.delay = time.Second
		b.typing("x", 1, "a.example", "us.example")
		synctest.Wait()
		for n := range 5 {
			b.typing("x", 2+n, "a.example")
			b.typing("y", n, "a.example")
			synctest.Wait()
		}
		b.tell(0, "a.example")
		b.enqueue(0, 1, "a.example")
		time.Sleep(time.Minute)
		sent := b.peers.sentTo("a.example")
		if got, want := edusOf(t, sent), []string{"x:1", "edu:0", "x:6", "y:4"}; !slices.Equal(got, want) {
			t.Errorf("EDUs %v, want %v", got, want)
		}
		if got := pdus(t, sent); len(sent) != 2 || !slices.Equal(got, numbers(0, 1)) {
			t.Errorf("%d transactions with %v", len(sent), got)
		}
		if n := len(b.peers.sentTo("us.example")); n > 0 {
			t.Errorf("%d transactions to ourselves", n)
		}
	})
}

// What was sent and not answered is sent again; what is for a server that is down is bounded, counted, and forgotten when it is old.
func TestVolatileEDUsOfAServerThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.stop()
		var dropped atomic.Int32
		b.trace = trace.SinkFunc(func(e trace.Event) {
			if _, ok := e.(trace.TransactionEDUDropped); ok {
				dropped.Add(1)
			}
		})
		b.start()
		defer b.stop()
		var up atomic.Bool
		b.peers.answer = func(request) (transport.Answer, error) {
			if !up.Load() {
				return transport.Answer{}, &transport.Failure{Class: "dial"}
			}
			return transport.Answer{Status: 200, Body: []byte(`{}`)}, nil
		}
		waiting := func(want ...transaction.VolatileWaiting) {
			t.Helper()
			if got, err := b.outbox.Volatile(t.Context(), "a.example"); err != nil || !slices.Equal(got, want) {
				t.Errorf("in memory wait %v, %v; want %v", got, err, want)
			}
		}
		waiting()
		b.typing("first", 0, "a.example")
		synctest.Wait()
		waiting() // it is part of a transaction
		begun := time.Now()
		for i := range 60 {
			b.typing(fmt.Sprint("k", i), i, "a.example")
		}
		synctest.Wait()
		if n := len(b.peers.sentTo("a.example")); n != 1 {
			t.Errorf("%d attempts: it is backing off", n)
		}
		if n := dropped.Load(); n != 10 {
			t.Errorf("%d were dropped, want those beyond 50", n)
		}
		waiting(transaction.VolatileWaiting{Type: "m.typing", Items: 50, Oldest: begun})
		time.Sleep(135 * time.Second)
		waiting() // they are of no use any more
		b.typing("late", 0, "a.example")
		synctest.Wait()
		waiting(transaction.VolatileWaiting{Type: "m.typing", Items: 1, Oldest: time.Now()})
		up.Store(true)
		time.Sleep(time.Hour)
		got := edusOf(t, b.peers.answered("a.example"))
		if want := []string{"first:0", "late:0"}; !slices.Equal(got, want) {
			t.Errorf("EDUs %v, want %v", got, want)
		}
	})
}

// A transaction full of durable EDUs has no room for others, and they wait for the next.
func TestDurableEDUsGoFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.peers.delay = time.Second
		b.typing("x", 0, "a.example")
		synctest.Wait()
		var want []string
		for n := range 150 {
			b.tell(n, "a.example")
			want = append(want, fmt.Sprintf("edu:%d", n))
		}
		b.typing("y", 0, "a.example")
		time.Sleep(time.Minute)
		sent := b.peers.sentTo("a.example")
		if got := edusOf(t, sent[1:]); !slices.Equal(got, append(want, "y:0")) {
			t.Errorf("EDUs %v", got)
		}
		for _, r := range sent {
			if n := len(edusOf(t, []request{r})); n > transaction.MaxEDUs {
				t.Errorf("T-01: %d EDUs in a transaction", n)
			}
		}
	})
}

func TestPrivateReceiptsStayHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		for _, tt := range []struct {
			content string
			private bool
		}{
			{`{"!r:x":{"m.read":{"@u:us.example":{"data":{"ts":1},"event_ids":["$e"]}}}}`, false},
			{`{"!r:x":{"m.read.private":{"@u:us.example":{"data":{"ts":1},"event_ids":["$e"]}}}}`, true},
			{`{"!r:x":{"m.read":{}},"!s:x":{"m.read":{},"m.read.private":{}}}`, true},
			{`{"!r:x":{"m.fully_read":{}}}`, true},
		} {
			err := b.outbox.EnqueueVolatile(transaction.Volatile{Type: "m.receipt", Key: "k", Content: []byte(tt.content)}, []ident.ServerName{"a.example"})
			if errors.Is(err, transaction.ErrPrivateReceipt) != tt.private {
				t.Errorf("%s: %v", tt.content, err)
			}
		}
		time.Sleep(time.Second)
		if n := len(b.peers.sentTo("a.example")); n != 1 {
			t.Errorf("%d transactions, want one", n)
		}
	})
}
