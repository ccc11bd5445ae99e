// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
)

// busyRoom is a room whose power levels name 200 users, and events of three kinds that its rules allow.
func busyRoom(tb testing.TB) (State, map[string]*event.Event) {
	r := newTestRoom(tb, "11")
	users := map[string]int{"@mod:a": 60}
	for i := range 199 {
		users[fmt.Sprintf("@user%d:server%d.example", i, i%20)] = i % 50
	}
	levels := func() string {
		raw, err := json.Marshal(map[string]any{"users": users, "events": map[string]int{"m.room.name": 50}})
		if err != nil {
			tb.Fatal(err)
		}
		return string(raw)
	}
	state := StateOf([]*event.Event{
		r.event(createSketch(r.version, "@mod:a", "")),
		r.event(stateSketch("@mod:a", typePowerLevels, "", levels())),
		r.event(stateSketch("@mod:a", typeJoinRules, "", `{"join_rule":"public"}`)),
		r.event(memberSketch("@mod:a", "@mod:a", "join", "")),
	})
	users["@user7:server7.example"] = 40
	return state, map[string]*event.Event{
		"message":     r.event(sketch{Sender: "@mod:a", Type: "m.room.message", Content: []byte(`{"body":"hello"}`)}),
		"member":      r.event(memberSketch("@new:b", "@new:b", "join", `{"displayname":"New"}`)),
		"powerlevels": r.event(stateSketch("@mod:a", typePowerLevels, "", levels())),
	}
}

// TestCheckAllocatesNothing is G-A15: contents are decoded when an event is parsed, and a yes costs no memory.
func TestCheckAllocatesNothing(t *testing.T) {
	state, events := busyRoom(t)
	for name, e := range events {
		if got := Check(e, state); !got.OK {
			t.Fatalf("%s: %s %s", name, got.Rule, got.Detail)
		}
		if allocs := testing.AllocsPerRun(100, func() { Check(e, state) }); allocs != 0 {
			t.Errorf("%s: %v allocations for one check, want none", name, allocs)
		}
	}
}

// BenchmarkCheck reports one check as a share of its floor: the one Ed25519 verification that every received event costs
// anyway, by the standard library, of 530 bytes.
func BenchmarkCheck(b *testing.B) {
	state, events := busyRoom(b)
	for _, name := range []string{"message", "member", "powerlevels"} {
		b.Run(name, func(b *testing.B) {
			floor := verification(b)
			b.ReportAllocs()
			for b.Loop() {
				if got := Check(events[name], state); !got.OK {
					b.Fatal(got.Detail)
				}
			}
			perCheck := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			b.ReportMetric(perCheck/floor, "ratio")
		})
	}
}

// verification is the time in nanoseconds of one verification, the best of a few rounds.
func verification(b *testing.B) float64 {
	b.Helper()
	const rounds, each = 5, 40
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	message := bytes.Repeat([]byte("x"), 530)
	signature, public := ed25519.Sign(key, message), key.Public().(ed25519.PublicKey)
	best := time.Duration(1 << 62)
	for range rounds {
		start := time.Now()
		for range each {
			if !ed25519.Verify(public, message, signature) {
				b.Fatal("signature does not verify")
			}
		}
		best = min(best, time.Since(start))
	}
	return float64(best.Nanoseconds()) / each
}
