// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

// dead names so many servers that never answer.
func dead(prefix string, n int) (queries []Query) {
	for i := range n {
		queries = append(queries, request(ident.ServerName(fmt.Sprintf("%s%d.example", prefix, i))))
	}
	return queries
}

// One server that names dead servers, in as many requests as it likes, holds no more than its share: others' keys come in the time
// of one fetch.
func TestOnePayerCannotTakeAllFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "good.example")
		n.delay = time.Hour // but for the good one
		n.quick = "good.example"
		ring := newTestRing(n, nil)
		ctx, cancel := context.WithCancel(OnBehalf(t.Context(), "hostile.example"))
		for call := range 100 {
			go ring.Keys(ctx, dead(fmt.Sprint("s", call, "-"), 100))
		}
		synctest.Wait()
		if n.most != maxPerPayer {
			t.Errorf("%d fetches at a time for one payer, want %d", n.most, maxPerPayer)
		}
		start := time.Now()
		for _, ctx := range []context.Context{OnBehalf(t.Context(), "honest.example"), t.Context()} {
			if got := ring.Keys(ctx, []Query{request("good.example")}); len(got) != 1 {
				t.Error("no key while another asks for dead servers")
			}
		}
		if took := time.Since(start); took > n.quickTime() {
			t.Errorf("the key took %s", took)
		}
		cancel()
		synctest.Wait()
		if len(ring.payers.shares) != 0 {
			t.Errorf("%d shares are left", len(ring.payers.shares))
		}
	})
}

// Even if all places for strangers are taken, by payers without number, servers that we know are asked at once.
func TestStrangersCannotTakeTheFetchesOfKnownServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "good.example")
		n.quick = "good.example"
		ring := newTestRing(n, nil)
		if got := ring.Keys(t.Context(), []Query{request("good.example")}); len(got) != 1 {
			t.Fatal("no key")
		}
		time.Sleep(25 * time.Hour) // what we have has run out
		n.delay = time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for payer := range 200 {
			go ring.Keys(OnBehalf(ctx, fmt.Sprint("payer", payer)), dead(fmt.Sprint("s", payer, "-"), 10))
		}
		synctest.Wait()
		if n.most != maxStrangers {
			t.Errorf("%d fetches at a time, want %d", n.most, maxStrangers)
		}
		start := time.Now()
		if got := ring.Keys(t.Context(), []Query{request("good.example")}); len(got) != 1 || time.Since(start) > n.quickTime() {
			t.Errorf("%d keys after %s", len(got), time.Since(start))
		}
		cancel()
		synctest.Wait()
	})
}

// who talks to us is asked for its keys again when they are half as old as they may get, and nobody waits for that.
func TestRenewedAtHalfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a.example") // valid for 24 h
		m := &memory{}
		ring := newTestRing(n, m)
		ask := func(want int) {
			t.Helper()
			start := time.Now()
			if got := ring.Keys(t.Context(), []Query{request("a.example")}); len(got) != 1 {
				t.Fatal("no key")
			}
			if n.count() > 1 && time.Since(start) != 0 {
				t.Errorf("waited for %s", time.Since(start))
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if n.count() != want {
				t.Errorf("%d fetches, want %d", n.count(), want)
			}
		}
		ask(1)
		time.Sleep(11 * time.Hour)
		ask(1)
		time.Sleep(2 * time.Hour)
		ask(2)
		ask(2)
		time.Sleep(23 * time.Hour)
		ask(3)
		if m.saves != 3 {
			t.Errorf("%d writes, want 3", m.saves)
		}
		// Events of a server that does not talk to us are no reason.
		time.Sleep(13 * time.Hour)
		ring.Keys(t.Context(), []Query{{Server: "a.example", KeyID: "ed25519:k", Use: ForEvent, At: 1}})
		time.Sleep(time.Second)
		if n.count() != 3 {
			t.Errorf("%d fetches, want 3", n.count())
		}
		n.mu.Lock()
		n.delay = time.Hour
		n.mu.Unlock()
		ring.Keys(t.Context(), []Query{request("a.example")})
		synctest.Wait()
		start := time.Now()
		if ring.Close(); time.Since(start) != 0 || n.count() != 4 {
			t.Errorf("closing took %s, %d fetches", time.Since(start), n.count())
		}
		if got := ring.Keys(t.Context(), []Query{request("a.example")}); len(got) != 1 {
			t.Error("no key after Close")
		}
	})
}

// Likewise for who asks us as a notary: one that names dead servers without end leaves others their answers.
func TestOneAskerCannotTakeTheNotary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "good.example")
		n.delay, n.quick = time.Hour, "good.example"
		ring := newTestRing(n, &memory{})
		ctx, cancel := context.WithCancel(OnBehalf(t.Context(), "198.51.100.7"))
		for call := range 20 {
			var asks []Ask
			for _, q := range dead(fmt.Sprint("s", call, "-"), MaxAttested) {
				asks = append(asks, Ask{Server: q.Server})
			}
			go ring.Attest(ctx, asks)
		}
		synctest.Wait()
		if n.most != maxPerPayer {
			t.Errorf("%d fetches at a time, want %d", n.most, maxPerPayer)
		}
		start := time.Now()
		docs := ring.Attest(OnBehalf(t.Context(), "203.0.113.5"), []Ask{{Server: "good.example"}})
		if len(docs) != 1 || time.Since(start) > n.quickTime() {
			t.Errorf("%d documents after %s", len(docs), time.Since(start))
		}
		cancel()
		synctest.Wait()
	})
}
