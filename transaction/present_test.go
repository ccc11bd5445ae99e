// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"encoding/json"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// A server that was away refuses one of the events that are a room's present, and with it all of them. When that is tried again it is
// given the present again, as it is by then, and not the event that stood for it; what was queued before, it is not given after it.
func TestARefusedPresentIsGivenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.stop()
		rooms := newPresents()
		b.rooms, b.backlog = rooms, transaction.Backlog{Items: 50}
		var up, healed atomic.Bool
		peer := newPicky(b, func(body string) error {
			switch {
			case !strings.Contains(body, "!r:us.example") && !strings.Contains(body, "!s:us.example"): // a control
				return nil
			case !up.Load():
				return &transport.Failure{Class: "dial"}
			case !healed.Load() && strings.Contains(body, `"n":-1`):
				return content(400)
			}
			return nil
		})
		b.start()
		for n := range 400 {
			room := ident.RoomID("!r:us.example")
			if n >= 100 {
				room = "!s:us.example"
			}
			b.say(rooms, note{Room: room, N: n}, "away.example")
			time.Sleep(time.Second)
		}
		up.Store(true)
		time.Sleep(20 * time.Minute)
		if parked := peer.parked(); len(parked) != 2 || slices.ContainsFunc(parked, func(p persistence.Parked) bool { return !p.Compacted }) {
			t.Fatalf("parked is %+v, want what stands for both rooms", parked)
		}
		before := len(peer.taken())
		healed.Store(true)
		time.Sleep(3 * time.Hour)
		b.say(rooms, note{Room: "!r:us.example", N: 400}, "away.example")
		time.Sleep(time.Minute)
		for room, want := range map[string][]int{"!r:us.example": {-1, 99, 400}, "!s:us.example": {-1, 399}} {
			var got []int
			for _, text := range pdus(t, peer.taken()[before:]) {
				var n note
				if err := json.Unmarshal([]byte(text), &n); err != nil {
					t.Fatal(err)
				}
				if n.Room == ident.RoomID(room) {
					got = append(got, n.N)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("of %s it took %v, want %v", room, got, want)
			}
		}
		if parked := peer.parked(); len(parked) > 0 {
			t.Errorf("still parked: %+v", parked)
		}
		b.stop()
	})
}
