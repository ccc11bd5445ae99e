// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

const (
	hour = int64(time.Hour / time.Millisecond)
	week = 7 * 24 * hour
	t0   = 1_700_000_000_000
)

// document is one fetched at the given time with current keys and one optional old key.
func document(t testing.TB, fetchedAt, validUntil int64, current ...ident.KeyID) *Document {
	t.Helper()
	doc := &Document{
		Server: "a.example", FetchedAt: fetchedAt, ValidUntil: validUntil,
		Current: make(map[ident.KeyID]ed25519.PublicKey), Old: make(map[ident.KeyID]OldKey),
	}
	for _, id := range current {
		doc.Current[id] = newKey(t, id).Public()
	}
	return doc
}

func (d *Document) withOld(t testing.TB, id ident.KeyID, expired int64) *Document {
	d.Old[id] = OldKey{ID: id, Public: newKey(t, id).Public(), ExpiredAt: expired}
	return d
}

func TestJudge(t *testing.T) {
	fresh := history{document(t, t0, t0+24*hour, "ed25519:new").withOld(t, "ed25519:old", t0-hour)}
	long := history{document(t, t0, t0+100*week, "ed25519:new")}
	rotated := history{document(t, t0, t0+24*hour, "ed25519:new"), document(t, t0-week, t0-week+24*hour, "ed25519:gone")}
	for _, tt := range []struct {
		name string
		h    history
		id   ident.KeyID
		use  Use
		at   int64
		now  int64
		want verdict
	}{
		{"nothing known", nil, "ed25519:new", ForRequest, 0, t0, outdated},
		{"nothing known, event", nil, "ed25519:new", ForEvent, t0, t0, outdated},

		{"X-45: current", fresh, "ed25519:new", ForRequest, 0, t0 + hour, usable},
		{"X-45: At is ignored", fresh, "ed25519:new", ForRequest, t0 + 100*week, t0 + hour, usable},
		{"X-45: up to the last ms", fresh, "ed25519:new", ForRequest, 0, t0 + 24*hour, usable},
		{"X-45: run out", fresh, "ed25519:new", ForRequest, 0, t0 + 24*hour + 1, outdated},
		{"X-52: a week at most", long, "ed25519:new", ForRequest, 0, t0 + week + 1, outdated},
		{"X-45: old key", fresh, "ed25519:old", ForRequest, 0, t0, refused},
		{"X-45: unknown key", fresh, "ed25519:next", ForRequest, 0, t0, outdated},
		{"X-45: no longer listed", rotated, "ed25519:gone", ForRequest, 0, t0, outdated},

		{"R-20: valid at the event's time", fresh, "ed25519:new", ForEvent, t0 + 24*hour, t0, usable},
		{"R-20: long ago", fresh, "ed25519:new", ForEvent, -5, t0, usable},
		{"R-20: validity ends before", fresh, "ed25519:new", ForEvent, t0 + 24*hour + 1, t0, outdated},
		{"R-20: still good after the document ran out", fresh, "ed25519:new", ForEvent, t0, t0 + 10*week, usable},
		{"R-20, X-52: clamped", long, "ed25519:new", ForEvent, t0 + week + 1, t0 + hour, outdated},
		{"R-20: farther than any document can reach", fresh, "ed25519:new", ForEvent, t0 + week + 1, t0, refused},
		{"X-53: v1-4 ignore the validity", fresh, "ed25519:new", ForOldEvent, t0 + 100*week, t0, usable},

		{"X-54: at expiry", fresh, "ed25519:old", ForEvent, t0 - hour, t0, usable},
		{"X-54: after expiry", fresh, "ed25519:old", ForEvent, t0 - hour + 1, t0, refused},
		{"X-54: v1-4 at expiry", fresh, "ed25519:old", ForOldEvent, t0 - hour, t0, usable},
		{"X-54: v1-4 after expiry", fresh, "ed25519:old", ForOldEvent, t0 - hour + 1, t0, refused},

		{"an older document's key", rotated, "ed25519:gone", ForEvent, t0 - week + hour, t0, usable},
		{"an older document's key, past its validity", rotated, "ed25519:gone", ForEvent, t0, t0, outdated},
		{"X-60: missing", fresh, "ed25519:next", ForEvent, t0, t0, outdated},
		{"X-60: missing, v1-4", fresh, "ed25519:next", ForOldEvent, t0, t0, outdated},
	} {
		public, got := tt.h.judge(Query{Server: "a.example", KeyID: tt.id, At: tt.at, Use: tt.use}, tt.now)
		if got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
		if want := newKey(t, tt.id).Public(); got == usable && !want.Equal(public) {
			t.Errorf("%s: the wrong key", tt.name)
		}
	}
}

func TestHistoryAdd(t *testing.T) {
	base := document(t, t0, t0+24*hour, "ed25519:a")
	for _, tt := range []struct {
		name    string
		doc     *Document
		changed bool
		length  int
	}{
		{"G-K4: the same again", document(t, t0+hour, t0+24*hour, "ed25519:a"), false, 1},
		{"valid for longer", document(t, t0+hour, t0+25*hour, "ed25519:a"), true, 1},
		{"G-K6: an older one", document(t, t0+hour, t0+23*hour, "ed25519:a"), false, 1},
		{"an older one after ours ran out", document(t, t0+25*hour, t0+23*hour, "ed25519:a"), true, 1},
		{"a new key beside the old", document(t, t0+hour, t0+25*hour, "ed25519:a", "ed25519:b"), true, 1},
		{"rotated, the old key listed", document(t, t0+hour, t0+25*hour, "ed25519:b").withOld(t, "ed25519:a", t0), true, 1},
		{"rotated, the old key left out", document(t, t0+hour, t0+25*hour, "ed25519:b"), true, 2},
		{"set up anew, promises less", document(t, t0+hour, t0+2*hour, "ed25519:b"), true, 2},
		{"retires its key", document(t, t0+hour, t0+24*hour).withOld(t, "ed25519:a", t0), true, 1},
	} {
		got, changed := history{base}.add(tt.doc)
		if changed != tt.changed || len(got) != tt.length {
			t.Errorf("%s: changed %v, %d documents, want %v, %d", tt.name, changed, len(got), tt.changed, tt.length)
		}
		if newest := got[0] == tt.doc; newest != tt.changed {
			t.Errorf("%s: newest is the added one: %v", tt.name, newest)
		}
	}
	rotated := history{document(t, t0, t0+24*hour, "ed25519:b").withOld(t, "ed25519:a", t0)}
	if _, changed := rotated.add(document(t, t0+hour, t0+23*hour, "ed25519:a")); changed {
		t.Error("G-K6: an older document brought a retired key back")
	}
}

// A server that changes its key all the time is bounded.
func TestHistoryIsBounded(t *testing.T) {
	var h history
	for i := range int64(30) {
		h, _ = h.add(document(t, t0+i, t0+24*hour, ident.KeyID("ed25519:"+string(rune('a'+i%26))+string(rune('a'+i/26)))))
	}
	if len(h) != maxHistory || h.size() != maxHistory {
		t.Errorf("%d documents, %d keys, want %d", len(h), h.size(), maxHistory)
	}
	for i, doc := range h {
		if doc.FetchedAt != t0+29-int64(i) {
			t.Errorf("document %d is of %d", i, doc.FetchedAt-t0)
		}
	}
}

func TestCoolDown(t *testing.T) {
	for failures, want := range []time.Duration{time.Minute, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second,
		160 * time.Second, 320 * time.Second, 10 * time.Minute, 10 * time.Minute} {
		if got := coolDown(failures); got != want {
			t.Errorf("coolDown(%d) = %v, want %v", failures, got, want)
		}
	}
	if got := coolDown(1 << 30); got != 10*time.Minute {
		t.Errorf("coolDown(2^30) = %v", got)
	}
}
