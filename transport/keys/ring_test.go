// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// network answers for the servers it knows after delay, and counts. Each server's one key is "ed25519:k" unless said otherwise.
type network struct {
	t     testing.TB
	delay time.Duration
	quick ident.ServerName // answers at once whatever delay says

	mu      sync.Mutex
	keys    map[ident.ServerName][]signing.Key
	valid   time.Duration // of the documents
	fetches map[ident.ServerName]int
	flying  int
	most    int // flying at a time

	notary  func(body []byte) []byte // what every notary replies, nil for an error
	queries [][]byte                 // bodies that notaries got
}

func (n *network) QueryKeys(ctx context.Context, _ ident.ServerName, body []byte) ([]byte, error) {
	n.mu.Lock()
	n.queries = append(n.queries, body)
	delay, notary := n.delay, n.notary
	n.mu.Unlock()
	if err := wait(ctx, delay); err != nil {
		return nil, err
	}
	if notary == nil {
		return nil, errors.New("no notary")
	}
	return notary(body), nil
}

// wait passes time. The race detector does not survive many timers of a bubble that are due already: there are none for no time.
func wait(ctx context.Context, delay time.Duration) error {
	if delay <= 0 {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(delay):
		return nil
	}
}

func newNetwork(t testing.TB, servers ...ident.ServerName) *network {
	n := &network{
		t: t, delay: 100 * time.Millisecond, valid: 24 * time.Hour,
		keys: make(map[ident.ServerName][]signing.Key), fetches: make(map[ident.ServerName]int),
	}
	for _, server := range servers {
		n.keys[server] = []signing.Key{newKey(t, "ed25519:k")}
	}
	return n
}

func (n *network) FetchKeys(ctx context.Context, server ident.ServerName) ([]byte, error) {
	n.mu.Lock()
	n.fetches[server]++
	n.flying++
	n.most = max(n.most, n.flying)
	delay, keys, valid := n.delay, n.keys[server], n.valid
	if server == n.quick {
		delay = n.quickTime()
	}
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		n.flying--
		n.mu.Unlock()
	}()
	if err := wait(ctx, delay); err != nil {
		return nil, err
	}
	if keys == nil {
		return nil, errors.New("no such server")
	}
	return sign(n.t, server, members(server, time.Now().Add(valid).UnixMilli(), keys...), keys...), nil
}

func (n *network) quickTime() time.Duration { return 50 * time.Millisecond }

func (n *network) count() (total int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.fetches {
		total += c
	}
	return total
}

// memory is documents that counts its calls.
type memory struct {
	mu           sync.Mutex
	docs         map[ident.ServerName][]persistence.KeyDocument
	seen         []persistence.KeySighting
	loads, saves int
	fail         error
}

func (m *memory) load(_ context.Context, servers []ident.ServerName) (map[ident.ServerName][]persistence.KeyDocument, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.loads++
	found := make(map[ident.ServerName][]persistence.KeyDocument)
	for _, server := range servers {
		if docs := m.docs[server]; docs != nil {
			found[server] = docs
		}
	}
	return found, m.fail
}

func (m *memory) save(ctx context.Context, docs []kept, seen []persistence.KeySighting) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saves++
	if err := cmp.Or(ctx.Err(), m.fail); err != nil {
		return err
	}
	if m.docs == nil {
		m.docs = make(map[ident.ServerName][]persistence.KeyDocument)
	}
	m.seen = append(m.seen, seen...)
	for _, d := range docs {
		stay := slices.DeleteFunc(m.docs[d.document.Server], func(old persistence.KeyDocument) bool {
			return !slices.Contains(d.keep, old.FetchedAt)
		})
		m.docs[d.document.Server] = append([]persistence.KeyDocument{d.document}, stay...)
	}
	return nil
}

func newTestRing(n *network, m *memory) *Ring {
	ring := NewRing(RingConfig{Own: newOwn(n.t, "self.example", newKey(n.t, "ed25519:self")), Fetch: n})
	if m != nil {
		ring.documents = m
	}
	return ring
}

func request(server ident.ServerName) Query {
	return Query{Server: server, KeyID: "ed25519:k", Use: ForRequest}
}

func TestRingFetchesOnceAndRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, m := newNetwork(t, "a.example"), &memory{}
		ring := newTestRing(n, m)
		want := newKey(t, "ed25519:k").Public()
		var wg sync.WaitGroup
		for range 20 { // callers at the same time share one fetch
			wg.Go(func() {
				if got := ring.Keys(t.Context(), []Query{request("a.example")}); !want.Equal(got[request("a.example")]) {
					t.Errorf("got %v", got)
				}
			})
		}
		wg.Wait()
		// G-K4: ten checks of one key that is at hand cause no fetch and no write.
		for i := range 10 {
			q := Query{Server: "a.example", KeyID: "ed25519:k", At: time.Now().UnixMilli() - int64(i), Use: ForEvent}
			if len(ring.Keys(t.Context(), []Query{q, request("a.example")})) != 2 {
				t.Error("a known key was not found")
			}
		}
		if n.count() != 1 || m.saves != 1 {
			t.Errorf("%d fetches, %d writes, want one each", n.count(), m.saves)
		}
		// A second ring, after a restart, finds it in the store.
		again := newTestRing(n, m)
		if len(again.Keys(t.Context(), []Query{request("a.example")})) != 1 || n.count() != 1 {
			t.Errorf("%d fetches after a restart, want no more", n.count())
		}
		// The key runs out for requests, not for the events of its time.
		time.Sleep(25 * time.Hour)
		event := Query{Server: "a.example", KeyID: "ed25519:k", At: time.Now().Add(-2 * time.Hour).UnixMilli(), Use: ForEvent}
		if len(again.Keys(t.Context(), []Query{event})) != 1 || n.count() != 1 {
			t.Errorf("%d fetches for an event in the document's time", n.count())
		}
		if len(again.Keys(t.Context(), []Query{event, request("a.example")})) != 2 || n.count() != 2 {
			t.Errorf("%d fetches after the document ran out, want 2", n.count())
		}
	})
}

// G-K5: fifty servers at once are fetched at the same time, read and written in one go each.
func TestRingBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var servers []ident.ServerName
		var queries []Query
		for i := range 50 {
			server := ident.ServerName(fmt.Sprintf("s%d.example", i))
			servers = append(servers, server)
			for j := range 3 {
				queries = append(queries, Query{Server: server, KeyID: "ed25519:k", At: time.Now().UnixMilli() + int64(j), Use: ForEvent})
			}
		}
		n, m := newNetwork(t, servers...), &memory{}
		ring := newTestRing(n, m)
		start := time.Now()
		if got := ring.Keys(t.Context(), queries); len(got) != 150 {
			t.Errorf("%d keys, want 150", len(got))
		}
		if n.count() != 50 || m.loads != 1 || m.saves != 1 {
			t.Errorf("%d fetches, %d reads, %d writes, want 50, 1, 1", n.count(), m.loads, m.saves)
		}
		if n.most != maxFetchesPerCall {
			t.Errorf("%d fetches at a time, want %d", n.most, maxFetchesPerCall)
		}
		if took := time.Since(start); took != 200*time.Millisecond { // 32, then 18
			t.Errorf("took %v, want two rounds of 100 ms", took)
		}
	})
}

func TestRingBoundsFetchesOfAllCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		ring := newTestRing(n, nil)
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				var queries []Query
				for j := range 40 {
					queries = append(queries, request(ident.ServerName(fmt.Sprintf("s%d-%d.example", i, j))))
				}
				ring.Keys(t.Context(), queries)
			})
		}
		wg.Wait()
		if n.count() != 400 || n.most != maxStrangers {
			t.Errorf("%d fetches, %d at a time, want 400, %d", n.count(), n.most, maxStrangers)
		}
	})
}

// A server that cannot be asked is left alone for a while, longer each time.
func TestRingBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		n.delay = 0
		ring := newTestRing(n, nil)
		var at []time.Duration
		start := time.Now()
		for time.Since(start) < 2*time.Minute {
			before := n.count()
			if got := ring.Keys(t.Context(), []Query{request("a.example")}); len(got) != 0 {
				t.Fatal("a key out of nothing")
			}
			if n.count() > before {
				at = append(at, time.Since(start))
			}
			time.Sleep(time.Second)
		}
		if want := []time.Duration{0, 10 * time.Second, 30 * time.Second, 70 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("asked at %v, want %v", at, want)
		}
		// Success forgets the failures; another key is asked for after a minute, not at every request.
		n.mu.Lock()
		n.keys["a.example"] = []signing.Key{newKey(t, "ed25519:k")}
		n.mu.Unlock()
		time.Sleep(time.Hour)
		before := n.count()
		unknown := Query{Server: "a.example", KeyID: "ed25519:other", Use: ForRequest}
		for range 61 {
			if got := ring.Keys(t.Context(), []Query{request("a.example"), unknown}); len(got) != 1 {
				t.Fatal("not found after the server came back")
			}
			time.Sleep(time.Second)
		}
		if n.count() != before+2 {
			t.Errorf("%d fetches in a minute for a key that is not there, want 2", n.count()-before)
		}
	})
}

// a key that is missing, or not valid for long enough, is asked for before it is refused.
func TestRingRefetchesForEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a.example")
		ring := newTestRing(n, nil)
		ring.Keys(t.Context(), []Query{request("a.example")})
		time.Sleep(2 * time.Hour)
		later := Query{Server: "a.example", KeyID: "ed25519:k", At: time.Now().Add(23 * time.Hour).UnixMilli(), Use: ForEvent}
		if len(ring.Keys(t.Context(), []Query{later})) != 1 || n.count() != 2 {
			t.Errorf("R-20: not fetched anew: %d fetches", n.count())
		}
		time.Sleep(2 * time.Hour)
		never := Query{Server: "a.example", KeyID: "ed25519:k", At: time.Now().Add(8 * 24 * time.Hour).UnixMilli(), Use: ForEvent}
		if len(ring.Keys(t.Context(), []Query{never})) != 0 || n.count() != 2 {
			t.Errorf("fetched %d times for what no document can say", n.count())
		}
		// Rotation: the new key is found, the one left out still verifies old events but no requests.
		n.mu.Lock()
		n.keys["a.example"] = []signing.Key{newKey(t, "ed25519:next")}
		n.mu.Unlock()
		next := Query{Server: "a.example", KeyID: "ed25519:next", Use: ForRequest}
		old := Query{Server: "a.example", KeyID: "ed25519:k", At: time.Now().UnixMilli(), Use: ForEvent}
		got := ring.Keys(t.Context(), []Query{next, old})
		if len(got) != 2 {
			t.Errorf("after rotation: %v", got)
		}
		if got := ring.Keys(t.Context(), []Query{request("a.example")}); len(got) != 0 {
			t.Error("X-45: a key that is no longer current verified a request")
		}
	})
}

func TestRingGivesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "slow.example", "fast.example")
		ring := newTestRing(n, nil)
		n.delay = time.Hour
		start := time.Now()
		if got := ring.Keys(t.Context(), []Query{request("slow.example")}); len(got) != 0 || time.Since(start) != DefaultTimeout {
			t.Errorf("%v after %v, want nothing after %v", got, time.Since(start), DefaultTimeout)
		}
		// A caller who leaves does not take the fetch from another, and is not held up by it.
		n.delay = 5 * time.Second
		var wg sync.WaitGroup
		wg.Go(func() {
			if got := ring.Keys(t.Context(), []Query{request("fast.example")}); len(got) != 1 {
				t.Error("the patient caller got nothing")
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if got := ring.Keys(ctx, []Query{request("fast.example")}); len(got) != 0 || time.Since(start) != time.Second {
			t.Errorf("%v after %v, want nothing after 1s", got, time.Since(start))
		}
		wg.Wait()
	})
}

// When every caller has left, the fetch ends, does not count against the server, and the next caller starts anew.
func TestRingAbandonsFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a.example")
		n.delay = 5 * time.Second
		ring := newTestRing(n, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ring.Keys(ctx, []Query{request("a.example")})
		synctest.Wait()
		if n.flying != 0 {
			t.Errorf("%d fetches go on for nobody", n.flying)
		}
		if got := ring.Keys(t.Context(), []Query{request("a.example")}); len(got) != 1 || n.count() != 2 {
			t.Errorf("%v after %d fetches, want the key after 2", got, n.count())
		}
	})
}

func TestRingWithFailingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, m := newNetwork(t, "a.example", "b.example"), &memory{}
		ring := newTestRing(n, m)
		var failures int
		ring.trace = trace.SinkFunc(func(e trace.Event) {
			if _, ok := e.(trace.KeysStoreFailed); ok {
				failures++
			}
		})
		// What cannot be read is not overwritten: no fetch.
		m.fail = errors.New("disk")
		if got := ring.Keys(t.Context(), []Query{request("a.example")}); len(got) != 0 || n.count() != 0 {
			t.Errorf("%v after %d fetches", got, n.count())
		}
		m.fail = nil
		ring.Keys(t.Context(), []Query{request("a.example")})
		// A write that the caller's context cut short is made up for by the next one.
		ctx, cancel := context.WithCancel(t.Context())
		n.delay = 0
		ring.load(t.Context(), ring.records([]Query{request("b.example")}))
		ring.fetchAll(t.Context(), []*record{ring.records([]Query{request("b.example")})["b.example"]}, nil)
		cancel()
		ring.save(ctx)
		if len(m.docs) != 1 {
			t.Fatalf("saved %v", slices.Collect(maps.Keys(m.docs)))
		}
		ring.save(t.Context())
		if len(m.docs) != 2 || failures != 1 {
			t.Errorf("saved %v, %d failures told", slices.Collect(maps.Keys(m.docs)), failures)
		}
	})
}

// With a real store: what one ring fetched, a later one has, history included.
func TestRingWithStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.db")
	n := newNetwork(t, "a.example")
	n.delay = 0
	run := func(queries ...Query) map[Query][]byte {
		store, err := persistence.Open(t.Context(), persistence.Options{Path: path, ServerName: "self.example"})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		ring := NewRing(RingConfig{Own: newOwn(t, "self.example", newKey(t, "ed25519:self")), Store: store, Fetch: n})
		found := make(map[Query][]byte)
		for q, public := range ring.Keys(t.Context(), queries) {
			found[q] = public
		}
		return found
	}
	event := Query{Server: "a.example", KeyID: "ed25519:k", At: time.Now().UnixMilli(), Use: ForEvent}
	if got := run(event); len(got) != 1 || n.count() != 1 {
		t.Fatalf("%v after %d fetches", got, n.count())
	}
	if got := run(event); len(got) != 1 || n.count() != 1 {
		t.Fatalf("%v after %d fetches", got, n.count())
	}
	n.keys["a.example"] = []signing.Key{newKey(t, "ed25519:next")}
	next := Query{Server: "a.example", KeyID: "ed25519:next", Use: ForRequest}
	if got := run(next); len(got) != 1 || n.count() != 2 {
		t.Fatalf("%v after %d fetches", got, n.count())
	}
	if got := run(next, event); len(got) != 2 || n.count() != 2 {
		t.Fatalf("%v after %d fetches", got, n.count())
	}
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache(10)
	held := c.get(source{server: "held.example"})
	for i := range 100 {
		rec := c.get(source{server: ident.ServerName(fmt.Sprintf("s%d.example", i))})
		rec.history = history{document(t, t0, t0, "ed25519:a", "ed25519:b")} // weighs 3 with the server itself
		c.settle(rec)
		if i < 50 && c.get(source{server: "held.example"}) != held {
			t.Fatal("a record in use was let go")
		}
		if c.weight > 10 || len(c.entries) > 4 || len(c.entries) != c.order.Len() {
			t.Fatalf("weight %d, %d entries", c.weight, len(c.entries))
		}
	}
	if c.get(source{server: "held.example"}) == held {
		t.Error("a record was kept that nobody used")
	}
	c.settle(held) // let go meanwhile: no harm
	huge := c.get(source{server: "huge.example"})
	huge.history = history{document(t, t0, t0, "ed25519:a", "ed25519:b")}
	c.limit = 1
	c.settle(huge)
	if c.get(source{server: "huge.example"}) != huge || len(c.entries) != 1 {
		t.Error("the record at hand does not stay")
	}
}
