// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// the document verifies as the origin's and as ours, whoever else signed it; our own is included.
func TestAttest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a.example", "b.example")
		self := newKey(t, "ed25519:self")
		ring := newTestRing(n, &memory{})
		if docs := ring.Attest(t.Context(), nil); len(docs) != 0 {
			t.Errorf("X-59: for no servers %s", docs)
		}
		docs := ring.Attest(t.Context(), []Ask{{Server: "self.example"}, {Server: "a.example"}, {Server: "unknown.example"}, {Server: "b.example", KeyIDs: []ident.KeyID{"ed25519:k"}}})
		if len(docs) != 3 {
			t.Fatalf("%d documents, want 3: %s", len(docs), docs)
		}
		for i, server := range []ident.ServerName{"self.example", "a.example", "b.example"} {
			if _, err := ParseDocument(server, docs[i], time.Now().UnixMilli()); err != nil {
				t.Errorf("X-57: %v", err)
			}
			if err := signing.VerifyJSON(docs[i], "self.example", self.ID, self.Public()); err != nil {
				t.Errorf("X-57: %v", err)
			}
		}
		if n.count() != 3 || len(n.queries) != 0 {
			t.Errorf("%d fetches, %d questions, want 3 and none", n.count(), len(n.queries))
		}
	})
}

// when a server is asked anew on behalf of others, and what is given when it does not answer.
func TestAttestRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a.example") // valid for 24 h
		m := &memory{}
		ring := newTestRing(n, m)
		attest := func(a Ask) int {
			a.Server = "a.example"
			return len(ring.Attest(t.Context(), []Ask{a}))
		}
		fetches := func(when string, want int) {
			t.Helper()
			if n.count() != want {
				t.Errorf("%s: %d fetches, want %d", when, n.count(), want)
			}
		}
		start := time.Now()
		attest(Ask{})
		attest(Ask{})
		fetches("at hand", 1)
		time.Sleep(11 * time.Hour)
		attest(Ask{ValidUntil: start.Add(23 * time.Hour).UnixMilli(), KeyIDs: []ident.KeyID{"ed25519:k"}})
		fetches("X-58: valid for long enough", 1)
		attest(Ask{ValidUntil: start.Add(30 * time.Hour).UnixMilli()})
		fetches("X-58: not valid for long enough", 2)
		time.Sleep(13 * time.Hour)
		attest(Ask{})
		fetches("X-55: past half its life", 3)
		time.Sleep(time.Hour)
		attest(Ask{KeyIDs: []ident.KeyID{"ed25519:other"}})
		fetches("a key that is not there", 4)
		attest(Ask{KeyIDs: []ident.KeyID{"ed25519:other"}})
		fetches("X-55: again at once", 4)

		n.mu.Lock()
		n.keys["a.example"] = nil
		n.mu.Unlock()
		time.Sleep(1000 * time.Hour)
		if attest(Ask{}) != 1 {
			t.Error("X-56: the last good reply is not given")
		}
		fetches("the server is down", 5)
		if docs := newTestRing(n, m).Attest(t.Context(), []Ask{{Server: "a.example"}}); len(docs) != 1 {
			t.Error("X-56: the last good reply is not given after a restart")
		}
	})
}

// Older documents are given for the keys that only they have.
func TestAttestOldDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, "a.example")
		ring := newTestRing(n, &memory{})
		ring.Keys(t.Context(), []Query{request("a.example")})
		time.Sleep(13 * time.Hour)
		n.keys["a.example"] = []signing.Key{newKey(t, "ed25519:next")}
		for want, ids := range map[int][]ident.KeyID{2: nil, 1: {"ed25519:next"}} {
			if docs := ring.Attest(t.Context(), []Ask{{Server: "a.example", KeyIDs: ids}}); len(docs) != want {
				t.Errorf("%d documents for %v, want %d", len(docs), ids, want)
			}
		}
		if docs := ring.Attest(t.Context(), []Ask{{Server: "a.example", KeyIDs: []ident.KeyID{"ed25519:k"}}}); len(docs) != 2 {
			t.Errorf("%d documents for the old key, want the newest too", len(docs))
		}
	})
}

// Who asks cannot take more than a share of our fetches, nor wait without end.
func TestAttestIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		n.delay = time.Hour
		ring := newTestRing(n, nil)
		var asks []Ask
		for i := range 10 * MaxAttested {
			asks = append(asks, Ask{Server: ident.ServerName(fmt.Sprintf("s%d.example", i))})
		}
		start := time.Now()
		for range 3 {
			go ring.Attest(context.Background(), asks)
		}
		go func() {
			time.Sleep(DefaultTimeout / 2) // at the end, those that were given up unwind beside the next ones
			n.mu.Lock()
			defer n.mu.Unlock()
			if n.most > maxFetchesForOthers {
				t.Errorf("%d fetches at a time, want at most %d", n.most, maxFetchesForOthers)
			}
		}()
		if docs := ring.Attest(t.Context(), asks); len(docs) != 0 || time.Since(start) != DefaultTimeout {
			t.Errorf("%d documents after %v", len(docs), time.Since(start))
		}
		synctest.Wait()
		if n.count() > 2*maxFetchesForOthers {
			t.Errorf("%d fetches, want at most %d", n.count(), 2*maxFetchesForOthers)
		}
	})
}

// Two rings of Strata: what one attests the other believes.
func TestNotaryBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := newNetwork(t, farName)
		notary := NewRing(RingConfig{Own: newOwn(t, notaryName, newKey(t, "ed25519:k")), Fetch: near})
		notary.documents = &memory{}
		n := newNetwork(t, notaryName)
		n.notary = func(body []byte) []byte {
			return reply(notary.Attest(context.Background(), []Ask{{Server: farName, KeyIDs: []ident.KeyID{"ed25519:k"}}})...)
		}
		q := farEvent("ed25519:k")
		if got := newTestRing(n, nil).KeysVia(t.Context(), notaryName, []Query{q}); len(got) != 1 {
			t.Errorf("got %v", got)
		}
	})
}
