// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// behind keeps a site's feed some time behind the store.
type behind struct{ by time.Duration }

// Derive implements stream.Deriver.
func (b behind) Derive(context.Context, stream.Batch) (func(*persistence.Tx) error, error) {
	time.Sleep(b.by) // virtual
	return nil, nil
}

// A client that was answered finds what it did in a sync that begins then, though the feed is always some time behind.
func TestReadsItsOwnWrites(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		room := must[ident.RoomID](t)(s.server.CreateRoom(t.Context(), messaging.CreateRoom{Creator: alice, Public: true}))
		s.make(behind{20 * time.Millisecond})
		at := func(as ident.UserID, query ...string) (a answer) {
			if err := json.Unmarshal(s.ask(as, query...), &a); err != nil {
				t.Fatal(err)
			}
			return a
		}
		since := at(alice).NextBatch
		id := must[ident.EventID](t)(s.server.Send(t.Context(), room, alice, "m.room.message", text("mine")))
		a := at(alice, "since="+since)
		if events := a.Rooms.Join[room].Timeline.Events; len(events) != 1 || events[0].ID != string(id) {
			t.Errorf("the sync after the message has %v", events)
		}
		since = at(bob).NextBatch
		if err := s.server.Join(t.Context(), bob, room, nil); err != nil {
			t.Fatal(err)
		}
		if _, in := at(bob, "since="+since).Rooms.Join[room]; !in {
			t.Error("the sync after the join is without the room")
		}
	})
}
