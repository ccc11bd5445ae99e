// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// notesOf is what was taken of a room, by number.
func notesOf(t *testing.T, room ident.RoomID, taken []request) (numbers []int) {
	t.Helper()
	for _, text := range pdus(t, taken) {
		var n note
		if err := json.Unmarshal([]byte(text), &n); err != nil {
			t.Fatal(err)
		}
		if n.Room == room {
			numbers = append(numbers, n.N)
		}
	}
	return numbers
}

// A server that was away refuses for ever one of the many events that are the present of the rooms it is in: that one alone is parked and
// shown, under its own id, the others are taken in the order in which each room has them, and so is what is said later. What is parked
// is tried again, over restarts.
func TestOneEventOfAPresentIsParkedAlone(t *testing.T) {
	for _, refused := range []string{"!r0:us.example", "!r7:us.example", "!r19:us.example"} {
		synctest.Test(t, func(t *testing.T) {
			const kinds = 20
			b, rooms := newBenchOfPresents(t, 50)
			var up, healed atomic.Bool
			peer := newPicky(b, func(body string) error {
				switch {
				case !strings.Contains(body, ":us.example"): // a control
					return nil
				case !up.Load():
					return &transport.Failure{Class: "dial"}
				case !healed.Load() && strings.Contains(body, fmt.Sprintf(`{"room":%q,"n":-1}`, refused)):
					return content(400)
				}
				return nil
			})
			b.start()
			room := func(i int) ident.RoomID { return ident.RoomID(fmt.Sprintf("!r%d:us.example", i%kinds)) }
			for n := range 400 { // the first of them is frozen, and so what comes first
				b.say(rooms, note{Room: room(n), N: n}, "away.example")
				time.Sleep(time.Second)
			}
			up.Store(true)
			time.Sleep(20 * time.Minute)
			b.say(rooms, note{Room: ident.RoomID(refused), N: 400}, "away.example")
			time.Sleep(time.Minute)
			for i := range kinds {
				want := []int{-1, 380 + i}
				if string(room(i)) == refused {
					want = []int{380 + i, 400}
				}
				if i == 0 {
					want = append([]int{0}, want...)
				}
				if got := notesOf(t, room(i), peer.taken()); !slices.Equal(got, want) {
					t.Errorf("%s refused: of %s it took %v, want %v", refused, room(i), got, want)
				}
			}
			parked := peer.parked()
			if len(parked) != 1 || parked[0].EventID != ident.EventID("$"+refused+"-1") {
				t.Errorf("parked is %+v, want the one that is refused", parked)
			}
			if n := len(b.peers.sentTo("away.example")); n > 40+20 { // a control, five halves, a control; the outage before
				t.Errorf("%d requests", n)
			}
			b.stop()
			healed.Store(true)
			b.start()
			time.Sleep(3 * time.Hour)
			if got := notesOf(t, ident.RoomID(refused), peer.taken()); !slices.Contains(got, -1) || len(peer.parked()) > 0 {
				t.Errorf("after it was mended it has %v; parked is %+v", got, peer.parked())
			}
			b.stop()
		})
	}
}

// Whoever is away again in the middle of a room's present gets the rest of it when it is back, and then what the room is by then.
func TestAPresentIsInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, rooms := newBenchOfPresents(t, 50)
		var up atomic.Int64 // so many more requests are answered
		peer := newPicky(b, func(string) error {
			if up.Add(-1) < 0 {
				return &transport.Failure{Class: "dial"}
			}
			return nil
		})
		b.start()
		const kinds = 60
		room := func(i int) ident.RoomID { return ident.RoomID(fmt.Sprintf("!r%d:us.example", i%kinds)) }
		for round := range 3 {
			for n := range 300 {
				b.say(rooms, note{Room: room(n), N: round*300 + n}, "away.example")
				time.Sleep(time.Second)
			}
			if longest := b.logged(); longest > 50+kinds+64+2*transaction.MaxPDUs {
				t.Errorf("%d rows wait", longest)
			}
			up.Store(1)
			time.Sleep(3 * time.Hour)
		}
		up.Store(1000)
		time.Sleep(3 * time.Hour)
		for i := range kinds {
			got := notesOf(t, room(i), peer.taken())
			if len(got) == 0 || got[len(got)-1] != 840+i {
				t.Errorf("of %s it took %v, want %d at last", room(i), got, 840+i)
			}
		}
		b.stop()
	})
}
