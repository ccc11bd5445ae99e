// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

func TestCompareState(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", "@a:a.example")
		b.join(room, "@b:b.example", a)
		n.deliver()
		topic := a.send(room, stateDraft("@a:a.example", "m.room.topic", `{"topic":"tea"}`))
		last := a.send(room, text("@a:a.example", "both have it"))
		n.deliver()
		news := a.send(room, stateDraft("@a:a.example", "m.room.topic", `{"topic":"coffee"}`)) // b does not have it yet
		slots := len(a.state(room))

		got, err := a.engine.CompareState(t.Context(), room, "b.example")
		want := pdu.Comparison{Server: "b.example", At: last.ID(), Same: slots}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("equal states: %v (-want +got):\n%s", err, diff)
		}

		// b says that there is no topic, but a name that nobody else knows of, and one event that it does not give.
		name := build(t, room, stateDraft("@b:b.example", "m.room.name", `{"name":"?"}`), []*event.Event{last}, nil)
		n.lie = func(_ ident.ServerName, call transport.Call) string {
			switch {
			case strings.Contains(call.Path, "/state_ids/") && call.Query.Get("event_id") == string(last.ID()):
				ids := []string{fmt.Sprintf("%q", name.ID()), `"$withheld"`}
				for slot, id := range a.state(room) {
					if slot.Type != "m.room.topic" {
						ids = append(ids, fmt.Sprintf("%q", id))
					}
				}
				return `{"pdu_ids":[` + strings.Join(ids, ",") + `],"auth_chain_ids":[]}`
			case strings.HasSuffix(call.Path, strings.TrimPrefix(string(name.ID()), "$")):
				return `{"pdus":[` + string(name.JSON()) + `]}`
			}
			return ""
		}
		got, err = a.engine.CompareState(t.Context(), room, "b.example")
		want = pdu.Comparison{
			Server: "b.example", At: last.ID(), Same: slots - 1, Unread: []ident.EventID{"$withheld"},
			Differences: []pdu.Difference{
				{Slot: event.StateKey{Type: "m.room.name"}, Theirs: name.ID(), Known: pdu.Dropped},
				{Slot: event.StateKey{Type: "m.room.topic"}, Ours: topic.ID()},
			},
		}
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("different states: %v (-want +got):\n%s", err, diff)
		}
		n.lie = nil
		if a.state(room)[event.StateKey{Type: "m.room.topic"}] != news.ID() {
			t.Error("comparing has changed the state")
		}
		if _, err := a.engine.CompareState(t.Context(), room, "nobody.example"); err == nil {
			t.Error("a server that does not exist was compared with")
		}
	})
}

func TestFetchEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", "@a:a.example")
		b.join(room, "@b:b.example", a)
		n.deliver()
		missed := a.send(room, text("@a:a.example", "lost on the way"))
		n.hold()

		got, err := b.engine.FetchEvent(t.Context(), "a.example", missed.ID(), false)
		if err != nil || got.Event.ID() != missed.ID() || got.Known != pdu.Dropped || len(got.Checks) != 2 || !got.Checks[1].OK {
			t.Errorf("fetched %+v, %v", got, err)
		}
		if b.outcome(missed.ID()) != pdu.Dropped {
			t.Error("looking at an event has stored it")
		}
		if _, err := b.engine.FetchEvent(t.Context(), "a.example", missed.ID(), true); err != nil {
			t.Fatal(err)
		}
		n.deliver()
		if got := b.outcome(missed.ID()); got != pdu.Accepted {
			t.Errorf("the event that was to be kept is %s", got)
		}

		forged := strings.Replace(string(missed.JSON()), "lost on the way", "found again", 1)
		for name, test := range map[string]struct{ answer, rule string }{
			"not an event":       {`{"pdus":[5]}`, "P-25"},
			"of another room":    {`{"pdus":[{"room_id":"!other:a.example"}]}`, "T-09"},
			"another event":      {`{"pdus":[` + string(a.stateEvent(room, event.StateKey{Type: "m.room.create"}).JSON()) + `]}`, "P-12"},
			"content is altered": {`{"pdus":[` + forged + `]}`, "P-14"},
		} {
			n.lie = func(ident.ServerName, transport.Call) string { return test.answer }
			got, err := b.engine.FetchEvent(t.Context(), "a.example", missed.ID(), false)
			if err != nil || len(got.Checks) == 0 || got.Checks[len(got.Checks)-1].Rule != test.rule {
				t.Errorf("%s: %+v, %v; want %s", name, got.Checks, err, test.rule)
			}
		}
		n.lie = func(ident.ServerName, transport.Call) string { return `{"pdus":[5]}` }
		if _, err := b.engine.FetchEvent(t.Context(), "a.example", missed.ID(), true); err == nil {
			t.Error("what is no event was kept")
		}

		n.lie = nil
		b.send(room, member("@b:b.example", "@b:b.example", "leave"))
		n.deliver()
		late := a.send(room, text("@a:a.example", "late"))
		n.lie = func(ident.ServerName, transport.Call) string { return `{"pdus":[` + string(late.JSON()) + `]}` }
		if _, err := b.engine.FetchEvent(t.Context(), "a.example", late.ID(), true); err == nil {
			t.Error("an event of a room that was left is said to be kept")
		}
	})
}
