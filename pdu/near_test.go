// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

func near(room ident.RoomID, ts any, dir string) transport.Call {
	return get("timestamp_to_event/"+url.PathEscape(string(room)), url.Values{"ts": {fmt.Sprint(ts)}, "dir": {dir}})
}

// spaced is a room of a, its messages a minute apart, that b has joined after them.
func spaced(n *network, messages int) (a, b *server, room ident.RoomID, sent []*event.Event, join *event.Event) {
	a, b = n.start("a.example"), n.start("b.example")
	room = a.createPublic("10", alice)
	for i := range messages {
		time.Sleep(time.Minute) // of the bubble's clock
		sent = append(sent, a.send(room, text(alice, fmt.Sprint(i))))
	}
	time.Sleep(time.Minute)
	join = b.join(room, bob, a)
	n.deliver()
	time.Sleep(time.Minute)
	return a, b, room, sent, join
}

// E-13: the closest event at the time or on the asked side of it.
func TestServeNear(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, room, sent, join := spaced(n, 3)
		at := func(i int) int64 { return sent[i].OriginServerTS() }
		for _, tt := range []struct {
			ts   int64
			dir  string
			want *event.Event // nil: none
		}{
			{at(1), "f", sent[1]}, {at(1), "b", sent[1]}, {at(1) + 1, "f", sent[2]}, {at(1) - 1, "b", sent[0]},
			{at(1) - 1, "f", sent[1]}, {at(1) + 1, "b", sent[1]}, {join.OriginServerTS() + 1, "f", nil}, {-1, "b", nil},
			{1<<63 - 1, "b", join}, {-1 << 63, "f", a.stateEvent(room, createSlot)},
		} {
			body, err := a.request(t.Context(), "b.example", near(room, tt.ts, tt.dir))
			if tt.want == nil {
				if errcode(err) != "404 M_NOT_FOUND" {
					t.Errorf("%d %s: %s, %v, want 404", tt.ts, tt.dir, body, err)
				}
				continue
			}
			want := fmt.Sprintf(`{"event_id":%q,"origin_server_ts":%d}`, tt.want.ID(), tt.want.OriginServerTS())
			if err != nil || string(body) != want {
				t.Errorf("%d %s: %s, %v, want %s", tt.ts, tt.dir, body, err, want)
			}
		}
		for query, want := range map[string]string{
			"ts=1": "400 M_MISSING_PARAM", "dir=f": "400 M_MISSING_PARAM", "ts=1&dir=x": "400 M_INVALID_PARAM",
			"ts=now&dir=f": "400 M_INVALID_PARAM", "ts=9223372036854775808&dir=f": "400 M_INVALID_PARAM", "ts=1.5&dir=f": "400 M_INVALID_PARAM",
		} {
			values, _ := url.ParseQuery(query)
			if _, err := a.request(t.Context(), "b.example", get("timestamp_to_event/"+url.PathEscape(string(room)), values)); errcode(err) != want {
				t.Errorf("%s: %v, want %s", query, err, want)
			}
		}
		for _, id := range []ident.RoomID{room, "!nothing:a.example"} {
			if _, err := a.request(t.Context(), "m.example", near(id, at(1), "f")); errcode(err) != "403 M_FORBIDDEN" {
				t.Errorf("%s, not in the room: %v", id, err)
			}
		}
	})
}

// Events that are not accepted, or that the asker may not see, are passed over, however many they are.
func TestServeNearSkips(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		a.send(room, stateDraft(alice, "m.room.history_visibility", `{"history_visibility":"joined"}`))
		time.Sleep(time.Minute)
		secret := a.send(room, text(alice, "secret"))
		for range 45 { // more than two pages of one time
			a.send(room, text(alice, "secret"))
		}
		time.Sleep(time.Minute)
		join := b.join(room, bob, a)
		n.deliver()
		want := fmt.Sprintf(`{"event_id":%q,"origin_server_ts":%d}`, join.ID(), join.OriginServerTS())
		for _, ts := range []int64{secret.OriginServerTS() - 1, secret.OriginServerTS(), join.OriginServerTS()} {
			if body, err := a.request(t.Context(), "b.example", near(room, ts, "f")); err != nil || string(body) != want {
				t.Errorf("%d: %s, %v, want %s", ts, body, err, want)
			}
		}
		if got, err := a.engine.EventNear(t.Context(), room, secret.OriginServerTS(), false); err != nil || got.Event.OriginServerTS() != secret.OriginServerTS() {
			t.Errorf("own: %+v, %v", got, err)
		}
	})
}

// P-92: where the closest event borders on missing history, others are asked; their answer counts only if it is nearer, and true.
func TestEventNearAsks(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, room, sent, join := spaced(n, 3)
		live := a.send(room, text(alice, "live"))
		n.deliver()
		time.Sleep(time.Minute)
		last := a.send(room, text(alice, "last"))
		n.deliver()
		asks := func(ts int64, forward bool, want *event.Event, from ident.ServerName, requests ...string) {
			t.Helper()
			n.asked = nil
			got, err := b.engine.EventNear(t.Context(), room, ts, forward)
			if err != nil || got.Event.ID() != want.ID() || got.From != from {
				t.Errorf("%d %v: %+v, %v, want %s from %q", ts, forward, got, err, want.ID(), from)
			}
			var asked []string
			for _, line := range n.asked {
				asked = append(asked, strings.Split(line, "/")[4])
			}
			if !slices.Equal(asked, requests) {
				t.Errorf("%d %v: asked %v, want %v", ts, forward, asked, requests)
			}
		}
		middle := sent[1].OriginServerTS()
		asks(middle+1, false, sent[1], "a.example", "timestamp_to_event", "event")
		asks(middle+1, true, sent[2], "a.example", "timestamp_to_event", "event")
		asks(join.OriginServerTS()-1, true, join, "", "timestamp_to_event") // a has none that is nearer
		asks(last.OriginServerTS(), false, last, "")                        // no gap there
		asks(live.OriginServerTS()+1, true, last, "")

		// Lies: of another time, on the wrong side, of another room, of no event at all. What is here stays the answer.
		other := a.send(a.createPublic("10", alice), text(alice, "elsewhere"))
		for _, lie := range []string{
			fmt.Sprintf(`{"event_id":%q,"origin_server_ts":%d}`, sent[1].ID(), middle+2), fmt.Sprintf(`{"event_id":%q,"origin_server_ts":%d}`, other.ID(), middle+2),
			fmt.Sprintf(`{"event_id":%q,"origin_server_ts":%d}`, sent[0].ID(), sent[0].OriginServerTS()), `{"event_id":"$nothing","origin_server_ts":1}`,
			fmt.Sprintf(`{"event_id":"$nothing","origin_server_ts":%d}`, middle+2), `{"event_id":7}`, `{"origin_server_ts":5}`, `[]`, `{`,
		} {
			n.lie = func(_ ident.ServerName, call transport.Call) string {
				if strings.Contains(call.Path, "timestamp_to_event") {
					return lie
				}
				return ""
			}
			got, err := b.engine.EventNear(t.Context(), room, middle+1, true)
			if err != nil || got.Event.ID() != join.ID() || got.From != "" || len(got.Asked) != 1 {
				t.Errorf("lie %s: %+v, %v", lie, got, err)
			}
		}
		n.lie = nil
		if _, err := b.engine.EventNear(t.Context(), "!nothing:a.example", 1, true); !errors.Is(err, pdu.ErrUnknownRoom) {
			t.Errorf("unknown room: %v", err)
		}
		if _, err := b.engine.EventNear(t.Context(), room, last.OriginServerTS()+1, true); !errors.Is(err, pdu.ErrUnknownEvent) {
			t.Errorf("after everything: %v", err)
		}
	})
}

// P-92: the servers that have been in the room longest are asked first, and so many at most.
func TestEventNearAsksTheOldest(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.start("a.example")
		room := a.createPublic("10", alice)
		old := a.send(room, text(alice, "old"))
		names := []ident.ServerName{"z.example", "y.example", "x.example", "b.example"}
		for _, name := range names {
			time.Sleep(time.Minute)
			n.start(name).join(room, ident.UserID("@u:"+name), a)
			n.deliver()
		}
		n.asked = nil
		n.refuse = func(ident.ServerName, ident.ServerName, transport.Call) error { return errors.New("unreachable") }
		got, err := n.servers["b.example"].engine.EventNear(t.Context(), room, old.OriginServerTS(), true)
		if err != nil || got.From != "" {
			t.Fatalf("%+v, %v", got, err)
		}
		var asked []string
		for _, line := range n.asked {
			asked = append(asked, strings.Fields(line)[1])
		}
		if diff := cmp.Diff([]string{"a.example", "z.example", "y.example"}, asked); diff != "" {
			t.Error(diff)
		}
	})
}
