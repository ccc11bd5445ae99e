// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// phases is what a plan says at a time, as text.
func phases(p Plan, now int64) (out []string) {
	for _, k := range p.At(now) {
		out = append(out, fmt.Sprintf("%s %s %d-%d", k.ID, k.Phase, k.From, k.ExpiredAt))
	}
	return out
}

// The three times of a rotation.
func TestRotate(t *testing.T) {
	const minute = int64(time.Minute / time.Millisecond)
	a, b, c := newKey(t, "ed25519:a"), newKey(t, "ed25519:b"), newKey(t, "ed25519:c")
	first := Plan{Keys: []PlannedKey{{Key: a}}}
	planned, err := first.Rotate(b, t0, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	begin := t0 + 24*hour
	for _, tt := range []struct {
		now  int64
		want []string
	}{
		{t0, []string{"ed25519:a signs 0-" + fmt.Sprint(begin+minute), fmt.Sprintf("ed25519:b published %d-0", begin)}},
		{begin - 1, []string{"ed25519:a signs 0-" + fmt.Sprint(begin+minute), fmt.Sprintf("ed25519:b published %d-0", begin)}},
		{begin, []string{"ed25519:a retiring 0-" + fmt.Sprint(begin+minute), fmt.Sprintf("ed25519:b signs %d-0", begin)}},
		{begin + minute, []string{"ed25519:a retired 0-" + fmt.Sprint(begin+minute), fmt.Sprintf("ed25519:b signs %d-0", begin)}},
	} {
		if diff := cmp.Diff(tt.want, phases(planned, tt.now)); diff != "" {
			t.Errorf("at %d (-want +got):\n%s", tt.now-t0, diff)
		}
	}
	if _, err := planned.Rotate(c, begin-1, time.Hour); !errors.Is(err, ErrRotating) {
		t.Errorf("while one is under way: %v", err)
	}
	// In an emergency what waits takes over, and the secret of the other is gone.
	now, err := planned.Rotate(c, t0+hour, 0)
	want := []string{fmt.Sprintf("ed25519:b signs %d-0", t0+hour), fmt.Sprintf("ed25519:a retiring 0-%d", t0+hour+minute)}
	if diff := cmp.Diff(want, phases(now, t0+hour)); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	again, err := planned.Rotate(c, begin+hour, time.Hour)
	if err != nil || len(again.Keys) != 2 || len(again.Old) != 1 || again.Old[0].ID != "ed25519:a" {
		t.Errorf("the next rotation: %v, %v", again, err)
	}
	for _, overlap := range []time.Duration{-1, MaxOverlap + 1} {
		if _, err := first.Rotate(b, t0, overlap); err == nil {
			t.Errorf("overlap %s", overlap)
		}
	}
	if _, err := first.Rotate(a, t0, time.Hour); err == nil {
		t.Error("a key after itself")
	}
	for i := range maxOwnOld {
		id := ident.KeyID(fmt.Sprintf("ed25519:o%d", i))
		first.Old = append(first.Old, OldKey{ID: id, Public: a.Public(), ExpiredAt: 1})
	}
	if _, err := first.Rotate(b, t0, time.Hour); err == nil {
		t.Error("more old keys than others read")
	}
}

// A peer that fetches our document at any moment of a rotation can check what we sign in that moment, and later what we signed
// before; one that fetched it just before the rotation knows the new key before its copy has run out.
func TestRotationIsSeenByPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "signing.key")
		plan, err := LoadOrCreate(path)
		if err != nil {
			t.Fatal(err)
		}
		var told []trace.Event
		own, err := NewOwn(OwnConfig{
			Server: "a.example", Plan: plan, Path: path, Trace: trace.SinkFunc(func(e trace.Event) { told = append(told, e) }),
		})
		if err != nil {
			t.Fatal(err)
		}
		first := own.SigningKey().ID
		if err := own.Rotate(DefaultOverlap); err != nil {
			t.Fatal(err)
		}
		second := own.At(time.Now())[1].ID
		switched := time.Now().Add(DefaultOverlap)
		if want := (trace.KeysRotated{Key: string(second), Former: string(first), From: switched}); len(told) != 1 || told[0] != trace.Event(want) {
			t.Errorf("traced %+v, want %+v", told, want)
		}
		for range 26 * 60 {
			now := time.Now()
			doc, err := ParseDocument("a.example", own.Published(now), now.UnixMilli())
			if err != nil {
				t.Fatal(err)
			}
			signer := own.SigningKey()
			if want := map[bool]ident.KeyID{true: first, false: second}[now.Before(switched)]; signer.ID != want {
				t.Fatalf("%s signs after %s, want %s", signer.ID, now.Sub(switched), want)
			}
			h := history{doc}
			if _, v := h.judge(Query{KeyID: signer.ID, Use: ForRequest}, now.UnixMilli()); v != usable {
				t.Fatalf("X-45: %s after %s", signer.ID, now.Sub(switched))
			}
			for _, id := range []ident.KeyID{first, second} {
				at := min(now.UnixMilli(), switched.UnixMilli()) // the last that the first signed
				if _, v := h.judge(Query{KeyID: id, Use: ForEvent, At: at}, now.UnixMilli()); v != usable {
					t.Fatalf("X-54: %s after %s", id, now.Sub(switched))
				}
			}
			time.Sleep(time.Minute)
		}
		if _, v := (history{mustParse(t, own)}).judge(Query{KeyID: first, Use: ForRequest}, time.Now().UnixMilli()); v != refused {
			t.Error("X-45: the old key still counts for requests")
		}
		// The next life works with the same keys.
		if plan, err = Load(path); err != nil || plan.signer(time.Now().UnixMilli()).ID != second {
			t.Errorf("after a restart: %v, %v", plan, err)
		}
	})
}

func mustParse(t *testing.T, own *Own) *Document {
	t.Helper()
	now := time.Now()
	doc, err := ParseDocument("a.example", own.Published(now), now.UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestOwnRefuses(t *testing.T) {
	k := newKey(t, "ed25519:k")
	if err := newOwn(t, "a.example", k).Rotate(time.Hour); !errors.Is(err, ErrNoKeyFile) {
		t.Errorf("without a file: %v", err)
	}
	plan := Plan{Keys: []PlannedKey{{Key: k}}}
	if _, err := NewOwn(OwnConfig{Server: "a.example", Plan: plan, Old: []OldKey{{ID: k.ID, Public: k.Public(), ExpiredAt: 1}}}); err == nil {
		t.Error("a current key among the old ones")
	}
	if _, err := NewOwn(OwnConfig{Server: "a.example"}); err == nil {
		t.Error("no key at all")
	}
}
