// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// bodies is the text of each message in one member of an answer, "" for what was redacted; what is no message is left out.
func (s *server) bodies(origin ident.ServerName, call transport.Call, member string, v *event.Version) map[ident.EventID]string {
	s.net.t.Helper()
	body, err := s.request(s.net.t.Context(), origin, call)
	if err != nil {
		s.net.t.Fatal(err)
	}
	var list []json.RawMessage
	if err := json.Unmarshal(decode(s.net.t, body)[member], &list); err != nil {
		s.net.t.Fatal(err)
	}
	found := map[ident.EventID]string{}
	for _, text := range list {
		x, err := event.ParseBackfilled(v, text)
		if err != nil {
			s.net.t.Fatal(err)
		}
		if x.Type() == "m.room.message" {
			found[x.ID()], _ = x.Content().Get("body").Text()
		}
	}
	return found
}

// P-90, M-112: what a server sees of messages sent before its invite, between invite and join, and after, under each setting.
func TestServedHistoryIsVisible(t *testing.T) {
	for setting, want := range map[string][3]bool{
		"world_readable": {true, true, true}, "shared": {true, true, true}, "invited": {false, true, true}, "joined": {false, false, true},
		"something else": {true, true, true},
	} {
		t.Run(setting, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				a, b := n.start("a.example"), n.start("b.example")
				room := a.createPublic("10", alice)
				a.send(room, stateDraft(alice, "m.room.history_visibility", fmt.Sprintf(`{"history_visibility":%q}`, setting)))
				sent := []*event.Event{a.send(room, text(alice, "before"))}
				a.send(room, member(alice, bob, "invite"))
				sent = append(sent, a.send(room, text(alice, "invited")))
				b.join(room, bob, a)
				n.deliver()
				sent = append(sent, a.send(room, text(alice, "joined")))
				n.deliver()

				shown := map[ident.EventID]string{}
				for i, x := range sent {
					shown[x.ID()] = ""
					if want[i] {
						shown[x.ID()], _ = x.Content().Get("body").Text()
					}
				}
				v, last, path := sent[0].Version(), sent[2], "/"+url.PathEscape(string(room))
				call := get("backfill"+path, url.Values{"v": {string(last.ID())}, "limit": {"50"}})
				if diff := cmp.Diff(shown, a.bodies("b.example", call, "pdus", v)); diff != "" {
					t.Errorf("backfill: %s", diff)
				}
				for i, x := range sent {
					got := a.bodies("b.example", get("event/"+url.PathEscape(string(x.ID())), nil), "pdus", v)
					if got[x.ID()] != shown[x.ID()] || len(got) != 1 {
						t.Errorf("event: %v, want %q", got, shown[x.ID()])
					}
					d, err := a.engine.Visibility(t.Context(), x.ID(), "b.example")
					if err != nil || d.Visible != want[i] {
						t.Errorf("visibility: %+v, %v, want visible %v", d, err, want[i])
					}
				}
				delete(shown, last.ID())
				body := fmt.Sprintf(`{"earliest_events":[],"latest_events":[%q],"limit":50}`, last.ID())
				if diff := cmp.Diff(shown, a.bodies("b.example", missing(room, body), "events", v)); diff != "" {
					t.Errorf("missing events: %s", diff)
				}
			})
		})
	}
}

// Members are followed from state to state: a server's user leaves and another comes back, in a room that only members may read.
func TestVisibilityFollowsMembers(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		a.send(room, stateDraft(alice, "m.room.history_visibility", `{"history_visibility":"joined"}`))
		want := map[ident.EventID]string{}
		say := func(body string, visible bool) *event.Event {
			x := a.send(room, text(alice, body))
			n.deliver()
			if want[x.ID()] = ""; visible {
				want[x.ID()] = body
			}
			return x
		}
		say("nobody yet", false)
		b.join(room, bob, a)
		n.deliver()
		say("bob", true)
		const robin = ident.UserID("@robin:b.example")
		b.send(room, member(robin, robin, "join"))
		n.deliver()
		say("both", true)
		b.send(room, member(bob, bob, "leave"))
		n.deliver()
		say("robin", true)
		b.send(room, member(robin, robin, "leave"))
		n.deliver()
		say("nobody", false)
		b.join(room, bob, a)
		n.deliver()
		last := say("bob again", true)
		call := get("backfill/"+url.PathEscape(string(room)), url.Values{"v": {string(last.ID())}, "limit": {"50"}})
		if diff := cmp.Diff(want, a.bodies("b.example", call, "pdus", last.Version())); diff != "" {
			t.Errorf("backfill: %s", diff)
		}
	})
}

// The change of the setting is seen by whom either side allows; the membership events of the server's own users by that server.
func TestVisibilityOfChanges(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		set := func(value string) *event.Event {
			return a.send(room, stateDraft(alice, "m.room.history_visibility", fmt.Sprintf(`{"history_visibility":%q}`, value)))
		}
		events := []struct {
			event *event.Event
			want  bool
		}{
			{set("joined"), true}, {set("invited"), false}, {set("world_readable"), true}, {set("joined"), true},
			{a.send(room, member(alice, carol, "invite")), false}, {a.send(room, member(alice, bob, "invite")), false},
			{b.join(room, bob, a), true},
		}
		n.deliver()
		for i, x := range events {
			d, err := a.engine.Visibility(t.Context(), x.event.ID(), "b.example")
			if err != nil || d.Visible != x.want {
				t.Errorf("event %d: %+v, %v, want visible %v", i, d, err, x.want)
			}
		}
		// State itself is given whole by /event, as /state gives it.
		got := a.ask("b.example", get("event/"+string(events[1].event.ID()), nil), "pdus", events[1].event.Version())
		if diff := cmp.Diff(idsOf(events[1].event), got); diff != "" {
			t.Error(diff)
		}
		if _, err := a.engine.Visibility(t.Context(), "$nothing", "b.example"); !errors.Is(err, pdu.ErrUnknownEvent) {
			t.Errorf("unknown event: %v", err)
		}
	})
}
