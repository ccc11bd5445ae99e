// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// Users of a server are removed from a room in which others of it stay, while it is away for long: with the room's present, and before
// it, it is given the last word on each of its users, whether that is long ago or not, and of others' users nothing.
func TestWhoIsRemovedWhileTheirServerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		b.stop()
		rooms := newPresents()
		b.rooms, b.backlog = rooms, transaction.Backlog{Items: 50}
		var up atomic.Bool
		peer := newPicky(b, func(string) error {
			if !up.Load() {
				return &transport.Failure{Class: "dial"}
			}
			return nil
		})
		b.start()
		const room = "!r:us.example"
		about := map[int]ident.UserID{
			5: "@x:away.example", 10: "@x:away.example", 11: "@z:b.example", 20: "@w:away.example", 30: "@v:away.example",
			280: "@y:away.example", 281: "@z:b.example", 290: "@w:away.example",
		}
		b.say(rooms, note{Room: "!first:us.example"}, "away.example")
		time.Sleep(time.Minute)
		for n := range 300 {
			b.say(rooms, note{Room: room, N: n, About: about[n]}, "away.example")
			time.Sleep(time.Second)
		}
		up.Store(true)
		time.Sleep(3 * time.Hour)
		if got, want := notesOf(t, room, peer.taken()), []int{10, 30, 280, 290, -1, 299}; !slices.Equal(got, want) {
			t.Errorf("it was given %v, want %v", got, want)
		}
		b.stop()
	})
}
