// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// Rooms in which a liar always has another missing event to give do not keep the others from being searched for.
func TestEndlessGapsElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		endless := map[ident.EventID]string{} // the parent of each
		var ends []*event.Event
		for range 8 {
			room := a.createPublic("10", alice)
			join := b.join(room, bob, a)
			n.deliver()
			auth := a.authFor(room, createSlot, levelsSlot, memberOf(bob))
			last := join
			for k := range 300 {
				next := build(t, room, text(bob, fmt.Sprint(k)), []*event.Event{last}, auth)
				endless[next.ID()] = string(last.JSON())
				last = next
			}
			ends = append(ends, last)
		}
		n.setLie(func(_ ident.ServerName, call transport.Call) string {
			if !strings.Contains(call.Path, "/get_missing_events/") {
				return ""
			}
			var body struct {
				Latest []ident.EventID `json:"latest_events"`
			}
			if err := json.Unmarshal(call.Body, &body); err != nil || endless[body.Latest[0]] == "" {
				return ""
			}
			time.Sleep(1300 * time.Millisecond)
			return `{"events":[` + endless[body.Latest[0]] + `]}`
		})
		for _, last := range ends {
			if _, err := a.tryReceive("b.example", last.JSON()); err != nil {
				t.Fatal(err)
			}
		}
		honest := a.createPublic("10", alice)
		b.join(honest, bob, a)
		n.deliver()
		b.send(honest, text(bob, "1"))
		last := b.send(honest, text(bob, "2"))
		n.hold()
		a.receive("b.example", last.JSON())
		pass(20 * time.Second)
		a.wantOutcome(last, pdu.Accepted, "", "")
	})
}

// An event that names many made-up references, whose ids come first, does not keep those of others from being asked for.
func TestMadeUpReferencesOfOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		top := a.stateEvent(room, memberOf(bob))
		create := a.stateEvent(room, createSlot)
		levels := build(t, room, stateDraft(alice, "m.room.power_levels", `{"users":{"@alice:a.example":100,"@bob:b.example":50}}`),
			[]*event.Event{top}, a.authFor(room, createSlot, levelsSlot, memberOf(alice)))
		b.receive("a.example", levels.JSON())
		honest := build(t, room, text(bob, "x"), []*event.Event{top}, []*event.Event{create, levels, top})
		n.setRefuse(func(_, _ ident.ServerName, call transport.Call) error {
			time.Sleep(100 * time.Millisecond)
			return notFound("get_missing_events", "state_ids")("", "", call)
		})
		for k := range 40 {
			p := event.Proto{
				RoomID: room, Sender: bob, Type: "m.room.message", Content: fmt.Appendf(nil, `{"body":"%d"}`, k),
				OriginServerTS: time.Now().UnixMilli(), Depth: 10, PrevEvents: []event.Ref{top.Ref()}, AuthEvents: []event.Ref{create.Ref(), top.Ref()},
			}
			for i := range 20 {
				p.PrevEvents = append(p.PrevEvents[:min(i, 19)], event.Ref{ID: ident.EventID(fmt.Sprintf("$-%02d%02d%038d", k, i, 0))})
			}
			liar, err := event.Build(top.Version(), p, "b.example", keyOf("b.example"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.tryReceive("m.example", liar.JSON()); err != nil {
				t.Fatal(err)
			}
		}
		a.receive("b.example", honest.JSON())
		pass(30 * time.Second)
		a.wantOutcome(honest, pdu.Accepted, "", "")
	})
}
