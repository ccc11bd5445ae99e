// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

const (
	notaryName = ident.ServerName("notary.example")
	farName    = ident.ServerName("far.example") // cannot be reached
)

// attested adds a signature of the notary, whose key is "ed25519:k".
func attested(t testing.TB, raw []byte) []byte {
	t.Helper()
	return cosign(t, raw, newKey(t, "ed25519:k"))
}

func cosign(t testing.TB, raw []byte, key signing.Key) []byte {
	t.Helper()
	raw, err := signing.SignJSON(raw, notaryName, key)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func reply(documents ...[]byte) []byte {
	return []byte(`{"server_keys":[` + string(bytes.Join(documents, []byte(","))) + `]}`)
}

func farEvent(id ident.KeyID) Query {
	return Query{Server: farName, KeyID: id, At: time.Now().UnixMilli(), Use: ForEvent}
}

// E-05, X-60: what is asked for is what the specification's example asks for.
func TestQuestion(t *testing.T) {
	for _, tt := range []struct {
		queries []Query
		want    string
	}{
		{nil, `{"server_keys":{}}`},
		{[]Query{{"b.example", "ed25519:2", 7, ForEvent}, {"a.example", "ed25519:1", 5, ForOldEvent}, {"b.example", "ed25519:1", 9, ForEvent}, {"b.example", "ed25519:2", 8, ForEvent}},
			`{"server_keys":{"a.example":{"ed25519:1":{"minimum_valid_until_ts":0}},` +
				`"b.example":{"ed25519:1":{"minimum_valid_until_ts":9},"ed25519:2":{"minimum_valid_until_ts":8}}}}`},
	} {
		if got := string(question(tt.queries)); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

// A reply as Synapse signs it, with two documents of one server; and what we would sign of the same documents.
func TestTestimonyOfSynapse(t *testing.T) {
	content, err := os.ReadFile("testdata/documents.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct{ Testimony string }
	if err := json.Unmarshal(content, &recorded); err != nil {
		t.Fatal(err)
	}
	k1, k2 := recordedKeys(t)
	const origin, two = "origin.example", "two.example:8448"
	heard, err := readTestimony(notaryName, []byte(recorded.Testimony), []ident.ServerName{origin, two, "other.example"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ident.KeyID{k1.ID}, heard.signers()); diff != "" {
		t.Errorf("signed with (-want +got):\n%s", diff)
	}
	for server, want := range map[ident.ServerName]int{origin: 2, two: 1, "other.example": 0} {
		docs, err := heard.of(server, map[ident.KeyID]ed25519.PublicKey{k1.ID: k1.Public()}, nil, t0)
		if err != nil || len(docs) != want {
			t.Errorf("%d documents of %s, %v, want %d", len(docs), server, err, want)
		}
		if docs, err := heard.of(server, map[ident.KeyID]ed25519.PublicKey{k1.ID: k2.Public()}, nil, t0); len(docs) != 0 || want > 0 && !errors.Is(err, ErrTestimony) {
			t.Errorf("with another key of the notary: %d documents of %s, %v", len(docs), server, err)
		}
	}
	var ours [][]byte
	for _, d := range recordedDocuments(t) {
		ours = append(ours, cosign(t, []byte(d.Document), k1))
	}
	if got := string(reply(ours...)); got != recorded.Testimony {
		t.Errorf("X-57: got  %s\nwant %s", got, recorded.Testimony)
	}
}

// A notary is believed about a server that nobody can reach, and only as far as it goes.
func TestKeysViaNotary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, notaryName, "other.example")
		key := newKey(t, "ed25519:far")
		until := time.Now().Add(time.Hour).UnixMilli()
		n.notary = func([]byte) []byte {
			return reply(attested(t, sign(t, farName, members(farName, until, key), key)))
		}
		ring := newTestRing(n, &memory{})
		q := farEvent(key.ID)
		var wg sync.WaitGroup
		for range 20 { // one request for all callers at a time
			wg.Go(func() {
				if got := ring.KeysVia(t.Context(), notaryName, []Query{q}); !key.Public().Equal(got[q]) {
					t.Errorf("got %v", got)
				}
			})
		}
		wg.Wait()
		want := fmt.Sprintf(`{"server_keys":{"far.example":{"ed25519:far":{"minimum_valid_until_ts":%d}}}}`, q.At)
		if len(n.queries) != 1 || string(n.queries[0]) != want {
			t.Errorf("asked %s, want once %s", n.queries, want)
		}
		if got := ring.KeysVia(t.Context(), notaryName, []Query{q}); len(got) != 1 || len(n.queries) != 1 {
			t.Errorf("again: %v after %d requests", got, len(n.queries))
		}
		late := Query{Server: farName, KeyID: key.ID, At: until + 1, Use: ForEvent}
		request := Query{Server: farName, KeyID: key.ID, Use: ForRequest}
		if got := ring.KeysVia(t.Context(), notaryName, []Query{late, request}); len(got) != 0 {
			t.Errorf("R-20, X-45: a notary's word for %v", got)
		}
		if got := ring.Keys(t.Context(), []Query{q}); len(got) != 0 {
			t.Error("a notary's word for what came from somebody else")
		}
		n.notary = nil
		if got := ring.KeysVia(t.Context(), "other.example", []Query{q}); len(got) != 0 {
			t.Error("a notary's word for what came from another")
		}
		if docs := ring.Attest(t.Context(), []Ask{{Server: farName}}); len(docs) != 0 {
			t.Errorf("hearsay is passed on: %s", docs)
		}
	})
}

// What a notary may try. None of it gives a key.
func TestNotaryLies(t *testing.T) {
	key, stranger := newKey(t, "ed25519:far"), newKey(t, "ed25519:stranger")
	good := func(now time.Time) []byte {
		return sign(t, farName, members(farName, now.Add(time.Hour).UnixMilli(), key), key)
	}
	short := func(now time.Time) []byte {
		m := members(farName, now.Add(time.Hour).UnixMilli(), stranger)
		m["verify_keys"].(map[string]any)[string(key.ID)] = map[string]any{"key": "AAAA"}
		return sign(t, farName, m, stranger)
	}
	for name, lie := range map[string]func(now time.Time) []byte{
		"no reply":    func(time.Time) []byte { return nil },
		"not JSON":    func(time.Time) []byte { return []byte("<html>") },
		"no list":     func(time.Time) []byte { return []byte(`{"server_keys":{}}`) },
		"empty":       func(time.Time) []byte { return reply() },
		"odd entries": func(time.Time) []byte { return reply([]byte("1"), []byte("null"), []byte(`{"server_name":[]}`)) },
		"X-51: wrong name": func(now time.Time) []byte {
			return reply(attested(t, sign(t, "b.example", members("b.example", now.UnixMilli()+hour, key), key)))
		},
		"X-51: no self-signature": func(now time.Time) []byte {
			return reply(attested(t, sign(t, farName, members(farName, now.UnixMilli()+hour, key))))
		},
		"X-51: signed by a stranger": func(now time.Time) []byte {
			return reply(attested(t, sign(t, farName, members(farName, now.UnixMilli()+hour, key), stranger)))
		},
		"X-57: no notary's signature": func(now time.Time) []byte { return reply(good(now)) },
		"X-57: an unknown notary key": func(now time.Time) []byte { return reply(cosign(t, good(now), stranger)) },
		"X-57: a bad notary signature": func(now time.Time) []byte {
			return reply(cosign(t, good(now), signing.Key{ID: "ed25519:k", Private: stranger.Private}))
		},
		"too old": func(now time.Time) []byte {
			return reply(attested(t, sign(t, farName, members(farName, now.UnixMilli()-hour, key), key)))
		},
		"oversized": func(now time.Time) []byte {
			return reply(attested(t, good(now)), []byte(`"`+strings.Repeat("x", MaxTestimony)+`"`))
		},
		"an oversized document": func(now time.Time) []byte {
			m := members(farName, now.UnixMilli()+hour, key)
			m["x"] = strings.Repeat("x", maxDocument)
			return reply(attested(t, sign(t, farName, m, key)))
		},
		"G-C5: a key of 3 bytes": func(now time.Time) []byte { return reply(attested(t, short(now))) },
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(t, notaryName)
			n.notary = func([]byte) []byte { return lie(time.Now()) }
			q := farEvent(key.ID)
			if got := newTestRing(n, nil).KeysVia(t.Context(), notaryName, []Query{q}); len(got) != 0 {
				t.Errorf("%s: got %v", name, got)
			}
			if len(n.queries) != 1 {
				t.Errorf("%s: asked %d times", name, len(n.queries))
			}
		})
	}
}

// A document that came from the server itself decides about what a notary says.
func TestNotaryAgainstTheServersOwnWord(t *testing.T) {
	old, next := newKey(t, "ed25519:k"), newKey(t, "ed25519:next")
	rebound := signing.Key{ID: old.ID, Private: next.Private}
	for _, tt := range []struct {
		name    string
		current []signing.Key // of the document that the notary gives
		signers []signing.Key
		want    ident.KeyID
		ok      bool
	}{
		{"signed by the key that we know", []signing.Key{old, next}, []signing.Key{old, next}, next.ID, true},
		{"the known key, for longer", []signing.Key{old}, []signing.Key{old}, old.ID, true},
		{"invented", []signing.Key{next}, []signing.Key{next}, next.ID, false},
		{"lists the key that we know without its signature", []signing.Key{old, next}, []signing.Key{next}, next.ID, false},
		{"another key under the id that we know", []signing.Key{rebound, next}, []signing.Key{rebound, next}, next.ID, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newNetwork(t, notaryName, farName) // its key is "ed25519:k"
			n.valid = time.Hour
			ring := newTestRing(n, &memory{})
			ring.Keys(t.Context(), []Query{request(farName)})
			n.mu.Lock()
			n.keys[farName] = nil // not to be reached any more
			n.mu.Unlock()
			time.Sleep(2 * time.Hour)
			n.notary = func([]byte) []byte {
				return reply(attested(t, sign(t, farName, members(farName, time.Now().Add(time.Hour).UnixMilli(), tt.current...), tt.signers...)))
			}
			q := farEvent(tt.want)
			if got := ring.KeysVia(t.Context(), notaryName, []Query{q}); (len(got) == 1) != tt.ok {
				t.Errorf("%s: %v, want a key: %t", tt.name, got, tt.ok)
			}
		})
	}
}

// A notary whose own document cannot be fetched either gives it with its reply.
func TestNotaryGivesItsOwnKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		key, own := newKey(t, "ed25519:far"), newKey(t, "ed25519:k")
		n.notary = func([]byte) []byte {
			until := time.Now().Add(time.Hour).UnixMilli()
			return reply(attested(t, sign(t, farName, members(farName, until, key), key)), sign(t, notaryName, members(notaryName, until, own), own))
		}
		far, near := farEvent(key.ID), farEvent(own.ID)
		near.Server = notaryName
		if got := newTestRing(n, nil).KeysVia(t.Context(), notaryName, []Query{far, near}); len(got) != 2 {
			t.Errorf("got %v", got)
		}
	})
}

// What the server itself tells later takes the place of what a notary told.
func TestServerOverrulesNotary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, notaryName)
		invented := newKey(t, "ed25519:invented")
		n.notary = func([]byte) []byte {
			return reply(attested(t, sign(t, farName, members(farName, time.Now().Add(24*time.Hour).UnixMilli(), invented), invented)))
		}
		ring := newTestRing(n, &memory{})
		q := farEvent(invented.ID)
		if got := ring.KeysVia(t.Context(), notaryName, []Query{q}); len(got) != 1 {
			t.Fatalf("got %v", got)
		}
		n.mu.Lock()
		n.keys[farName] = []signing.Key{newKey(t, "ed25519:k")}
		n.mu.Unlock()
		time.Sleep(time.Hour)
		ring.Keys(t.Context(), []Query{request(farName)})
		if got := ring.KeysVia(t.Context(), notaryName, []Query{q}); len(got) != 0 {
			t.Errorf("the notary's word goes on to count: %v", got)
		}
	})
}

// Of several documents the one that promises most is the newest, in whatever order they come; keys that it leaves out stay.
func TestTestimonyOfSeveralDocuments(t *testing.T) {
	a, b := newKey(t, "ed25519:a"), newKey(t, "ed25519:b")
	older := attested(t, sign(t, farName, members(farName, t0-week, a), a))
	newer := attested(t, sign(t, farName, members(farName, t0+hour, b), b))
	keysOfNotary := newKey(t, "ed25519:k")
	for _, raw := range [][]byte{reply(older, newer), reply(newer, older)} {
		heard, err := readTestimony(notaryName, raw, []ident.ServerName{farName})
		if err != nil {
			t.Fatal(err)
		}
		if got := heard.signers(); !cmp.Equal(got, []ident.KeyID{keysOfNotary.ID}) {
			t.Errorf("signed with %v", got)
		}
		docs, err := heard.of(farName, map[ident.KeyID]ed25519.PublicKey{keysOfNotary.ID: keysOfNotary.Public()}, nil, t0)
		if err != nil || len(docs) != 2 {
			t.Fatalf("%v, %v", docs, err)
		}
		var h history
		for _, doc := range docs {
			h, _ = h.add(doc)
		}
		if len(h) != 2 || h.public(b.ID) == nil || h[0].ValidUntil != t0+hour || !h.public(a.ID).Equal(a.Public()) {
			t.Errorf("history %v", h)
		}
	}
}

// Many servers go in requests of bounded size; a notary that fails is left alone for a while.
func TestInquiryIsBatchedAndBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t, notaryName)
		ring := newTestRing(n, nil)
		var queries []Query
		for i := range 250 {
			queries = append(queries, Query{Server: ident.ServerName(fmt.Sprintf("s%d.example", i)), KeyID: "ed25519:k", At: time.Now().UnixMilli(), Use: ForEvent})
		}
		ring.KeysVia(t.Context(), notaryName, queries)
		sizes := map[int]int{}
		for _, body := range n.queries {
			var sent struct {
				Servers map[string]any `json:"server_keys"`
			}
			if err := json.Unmarshal(body, &sent); err != nil {
				t.Fatal(err)
			}
			sizes[len(sent.Servers)]++
		}
		if want := map[int]int{100: 2 * inquiryAttempts, 50: inquiryAttempts}; !cmp.Equal(sizes, want) {
			t.Errorf("requests by size %v, want %v", sizes, want)
		}
		ring.KeysVia(t.Context(), notaryName, queries)
		if len(n.queries) != 3*inquiryAttempts {
			t.Errorf("%d requests, want no more at once", len(n.queries))
		}
		time.Sleep(afterFailure)
		ring.KeysVia(t.Context(), notaryName, queries)
		if len(n.queries) != 6*inquiryAttempts {
			t.Errorf("%d requests, want %d", len(n.queries), 6*inquiryAttempts)
		}
		// A caller who leaves ends the request; it does not count against the notary.
		n.delay = 5 * time.Second
		time.Sleep(time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		ring.KeysVia(ctx, notaryName, queries[:1])
		synctest.Wait()
		if rec := ring.told.get(source{queries[0].Server, notaryName}); rec.flight != nil || rec.failures != 2 {
			t.Errorf("flight %v, %d failures, want none and 2", rec.flight, rec.failures)
		}
	})
}

// Nothing that a notary replies can break what comes after.
func FuzzTestimony(f *testing.F) {
	far := newKey(f, "ed25519:far")
	f.Add(reply(attested(f, sign(f, farName, members(farName, t0, far), far))))
	f.Add([]byte(`{"server_keys":[{"server_name":"far.example","signatures":{"notary.example":{"x":1}}}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		heard, err := readTestimony(notaryName, raw, []ident.ServerName{farName})
		if err != nil {
			if !errors.Is(err, ErrTestimony) {
				t.Errorf("%v", err)
			}
			return
		}
		if len(heard.signers()) > maxNotaryKeys || len(heard.documents[farName]) > maxHistory {
			t.Errorf("%d keys, %d documents", len(heard.signers()), len(heard.documents[farName]))
		}
		docs, _ := heard.of(farName, nil, nil, t0)
		if len(docs) > 0 {
			t.Error("believed without the notary's signature")
		}
	})
}

// A trusted notary's word counts whoever hands the events over, and for requests of servers that we cannot reach.
func TestTrustedNotary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near := newNetwork(t, farName)
		notary := NewRing(RingConfig{Own: newOwn(t, notaryName, newKey(t, "ed25519:k")), Fetch: near})
		notary.documents = &memory{}
		n := newNetwork(t, notaryName)
		n.notary = func([]byte) []byte { return reply(notary.Attest(context.Background(), []Ask{{Server: farName}})...) }
		wrong := map[ident.KeyID]ed25519.PublicKey{"ed25519:k": newKey(t, "ed25519:other").Public()}
		for _, tt := range []struct {
			name    string
			trusted []Trusted
			want    int
		}{
			{"none", nil, 0},
			{"as it publishes its keys", []Trusted{{Server: notaryName}}, 3},
			{"pinned", []Trusted{{Server: notaryName, Keys: map[ident.KeyID]ed25519.PublicKey{"ed25519:k": newKey(t, "ed25519:k").Public()}}}, 3},
			{"pinned to another key", []Trusted{{Server: notaryName, Keys: wrong}}, 0},
			{"the first does not answer", []Trusted{{Server: "dead.example", Keys: wrong}, {Server: notaryName}}, 3},
		} {
			ring := NewRing(RingConfig{Own: newOwn(t, "self.example", newKey(t, "ed25519:self")), Fetch: n, Trusted: tt.trusted})
			m := &memory{}
			ring.documents = m
			now := time.Now().UnixMilli()
			queries := []Query{
				{Server: farName, KeyID: "ed25519:k", Use: ForRequest, At: now},
				{Server: farName, KeyID: "ed25519:k", Use: ForEvent, At: now},
				{Server: farName, KeyID: "ed25519:k", Use: ForOldEvent},
			}
			if got := ring.Keys(t.Context(), queries); len(got) != tt.want {
				t.Errorf("%s: %d keys, want %d", tt.name, len(got), tt.want)
			}
			// Who said what is written down, and what a notary said is not passed on.
			told := slices.ContainsFunc(m.seen, func(s persistence.KeySighting) bool { return s.Source == notaryName && s.Server == farName })
			if told != (tt.want > 0) {
				t.Errorf("%s: seen %v", tt.name, m.seen)
			}
			if docs := ring.Attest(t.Context(), []Ask{{Server: farName}}); len(docs) != 0 {
				t.Errorf("%s: passed on %s", tt.name, docs)
			}
			time.Sleep(25 * time.Hour)
			if got := ring.Keys(t.Context(), queries[:1]); len(got) != min(tt.want, 1) {
				t.Errorf("%s: a day later %d keys", tt.name, len(got))
			}
		}
	})
}
