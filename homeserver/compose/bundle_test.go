// SPDX-License-Identifier: Apache-2.0

package compose_test

import (
	"strings"
	"testing"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/transport/ident"
)

// S-31: events of a limited timeline come with what relates to them, others without: of that the client has been told, or is.
func TestBundlesInLimitedTimelines(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		room := must[ident.RoomID](t)(s.server.CreateRoom(t.Context(), messaging.CreateRoom{Creator: alice, Public: true}))
		start := s.next(alice)
		root := must[ident.EventID](t)(s.server.Send(t.Context(), room, alice, "m.room.message", text("root")))
		since := s.next(alice)
		for _, kind := range []string{"m.thread", "m.replace", "m.reference"} {
			must[ident.EventID](t)(s.server.Send(t.Context(), room, alice, "m.room.message", map[string]any{
				"body": kind, "m.new_content": map[string]string{}, "m.relates_to": map[string]any{"rel_type": kind, "event_id": root},
			}))
		}
		bundled := func(query ...string) (timeline []clientEvent, bundles int) {
			one := s.sync(alice, query...).Rooms.Join[room]
			return one.Timeline.Events, strings.Count(string(one.Timeline.Events[0].Unsigned), `"m.relations"`)
		}
		if events, n := bundled("since="+start, limit(10)); n != 0 || len(events) != 4 {
			t.Errorf("of a whole timeline: %d bundles of %d events", n, len(events))
		}
		if events, n := bundled("since="+start, limit(3)); n != 0 || len(events) != 3 || events[0].Content["body"] != "m.thread" {
			t.Errorf("of what nothing relates to: %d bundles of %v", n, events)
		}
		if events, n := bundled("since="+since, limit(2)); n != 0 || len(events) != 2 {
			t.Errorf("of what nothing relates to: %d bundles of %v", n, events)
		}
		events, n := bundled(limit(4))
		unsigned := string(events[0].Unsigned)
		if n != 1 || events[0].ID != string(root) {
			t.Fatalf("of a limited timeline: %d bundles, %s", n, unsigned)
		}
		for _, part := range []string{`"m.thread":{"latest_event":{`, `"m.replace":{`, `"m.reference":{"chunk":[{"event_id":"`} {
			if !strings.Contains(unsigned, part) {
				t.Errorf("without %s: %s", part, unsigned)
			}
		}
		if strings.Contains(unsigned, `"room_id"`) {
			t.Errorf("written otherwise than the event itself: %s", unsigned)
		}
	})
}
