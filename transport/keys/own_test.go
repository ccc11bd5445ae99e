// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"testing"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// byte for byte what Synapse's signer makes of the same keys.
func TestPublishedAgainstSynapse(t *testing.T) {
	k1, k2 := recordedKeys(t)
	recorded := recordedDocuments(t)
	now := time.UnixMilli(1700086400000).Add(-24 * time.Hour)
	ring := NewRing(RingConfig{Own: newOwn(t, "origin.example", k2)})
	if got := string(ring.Published(now)); got != recorded[0].Document {
		t.Errorf("got  %s\nwant %s", got, recorded[0].Document)
	}
	old := []OldKey{{ID: k2.ID, Public: k2.Public(), ExpiredAt: 1700000000000}}
	ring = NewRing(RingConfig{Own: newOwn(t, "origin.example", k1, old...)})
	if got := string(ring.Published(now)); got != recorded[1].Document {
		t.Errorf("got  %s\nwant %s", got, recorded[1].Document)
	}
}

// at least an hour of validity at any time, and the same bytes while they last.
func TestPublishedStaysValid(t *testing.T) {
	old := []OldKey{{ID: "ed25519:2", Public: newKey(t, "ed25519:2").Public(), ExpiredAt: 2}, {ID: "ed25519:1", Public: newKey(t, "ed25519:1").Public(), ExpiredAt: 1}}
	ring := NewRing(RingConfig{Own: newOwn(t, "a.example:80", newKey(t, "ed25519:k"), old...)})
	start := time.UnixMilli(t0)
	changes := 0
	last := ""
	for minute := range 3 * 24 * 60 {
		now := start.Add(time.Duration(minute) * time.Minute)
		raw := ring.Published(now)
		if string(raw) == last {
			continue
		}
		last = string(raw)
		changes++
		doc, err := ParseDocument("a.example:80", raw, now.UnixMilli())
		if err != nil {
			t.Fatal(err)
		}
		if len(doc.Current) != 1 || len(doc.Old) != 2 || doc.Old["ed25519:2"].ExpiredAt != 2 {
			t.Errorf("keys %v, %v", doc.Current, doc.Old)
		}
		if left := doc.ValidUntil - now.UnixMilli(); left < 12*hour {
			t.Errorf("valid for %d ms", left)
		}
	}
	if changes != 6 {
		t.Errorf("%d documents in three days, want 6", changes)
	}
}

func TestOwnKeys(t *testing.T) {
	retired := newKey(t, "ed25519:old")
	key := newKey(t, "ed25519:k")
	// No store and no fetcher: our own keys must need neither.
	ring := NewRing(RingConfig{Own: newOwn(t, "a.example", key, OldKey{ID: retired.ID, Public: retired.Public(), ExpiredAt: t0})})
	for _, tt := range []struct {
		id   ident.KeyID
		at   int64
		use  Use
		want bool
	}{
		{key.ID, 0, ForRequest, true},
		{key.ID, t0 + 100*week, ForEvent, true},
		{key.ID, t0, ForOldEvent, true},
		{retired.ID, t0, ForRequest, false},
		{retired.ID, t0, ForEvent, true},
		{retired.ID, t0 + 1, ForEvent, false},
		{retired.ID, t0 + 1, ForOldEvent, false},
		{"ed25519:unknown", t0, ForEvent, false},
	} {
		q := Query{Server: "a.example", KeyID: tt.id, At: tt.at, Use: tt.use}
		if _, got := ring.Keys(t.Context(), []Query{q})[q]; got != tt.want {
			t.Errorf("%+v: %v, want %v", q, got, tt.want)
		}
	}
}

// newOwn is a server with one key, which signs since ever.
func newOwn(t testing.TB, server ident.ServerName, key signing.Key, old ...OldKey) *Own {
	t.Helper()
	own, err := NewOwn(OwnConfig{Server: server, Plan: Plan{Keys: []PlannedKey{{Key: key}}}, Old: old})
	if err != nil {
		t.Fatal(err)
	}
	return own
}
