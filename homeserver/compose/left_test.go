// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/transport/ident"
)

// S-16: rooms left long ago are shown to who asks with include_leave, and are no news: the wait goes on.
func TestLeftLongAgoIsNoNews(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		const filter = `filter={"room":{"include_leave":true}}`
		room := must[ident.RoomID](t)(s.server.CreateRoom(t.Context(), messaging.CreateRoom{Creator: alice, Public: true}))
		if err := s.server.Leave(t.Context(), alice, room); err != nil {
			t.Fatal(err)
		}
		first := s.sync(alice, filter)
		if _, shown := first.Rooms.Leave[room]; !shown {
			t.Error("the first answer does not show the room that was left")
		}
		begun := time.Now()
		got := s.sync(alice, filter, "since="+first.NextBatch, "timeout=20000")
		if waited := time.Since(begun); waited != 20*time.Second || len(got.Rooms.Leave) > 0 {
			t.Errorf("after %s came %v, want nothing after 20 s", waited, got.Rooms.Leave)
		}
		if got := s.sync(alice, filter, "since="+first.NextBatch, "full_state=true"); len(got.Rooms.Leave) != 1 {
			t.Errorf("full_state shows %v, want the room that was left", got.Rooms.Leave)
		}
	})
}

// Who takes a knock back was never in the room: what is new is the end of it, not the knock that the client has.
func TestKnockTakenBack(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		room := must[ident.RoomID](t)(s.server.CreateRoom(t.Context(), messaging.CreateRoom{
			Creator: alice, State: []messaging.State{{Type: "m.room.join_rules", Content: map[string]string{"join_rule": "knock"}}},
		}))
		if err := s.server.Knock(t.Context(), bob, room, nil, nil); err != nil {
			t.Fatal(err)
		}
		since := s.next(bob)
		if err := s.server.Leave(t.Context(), bob, room); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var told []any
		for _, e := range s.sync(bob, "since="+since).Rooms.Leave[room].Timeline.Events {
			told = append(told, e.Content["membership"])
		}
		if diff := cmp.Diff([]any{"leave"}, told); diff != "" {
			t.Errorf("the room's last events (-want +got):\n%s", diff)
		}
	})
}
