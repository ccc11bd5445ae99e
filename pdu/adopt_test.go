// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// A server that names the wrong room version, and then fails, does not keep us out of the room for ever.
func TestWrongVersionOfAFailedJoinIsForgotten(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		early := a.send(room, text(alice, "early"))
		if err := b.engine.BeginJoin(t.Context(), room, "3"); err != nil {
			t.Fatal(err)
		}
		if results := b.receive("a.example", early.JSON()); len(results) != 1 || results[early.ID()] != "" {
			t.Fatalf("results %v, want one event of version 3, under another id", results)
		}
		if err := b.engine.AbandonJoin(t.Context(), room); err != nil {
			t.Fatal(err)
		}
		b.join(room, bob, a)
		n.deliver()
		after := a.send(room, text(alice, "after"))
		n.deliver()
		b.wantOutcome(after, pdu.Accepted, "", "")
		if err := b.engine.BeginJoin(t.Context(), room, "3"); err == nil {
			t.Error("the version of a room that is here was changed")
		}
	})
}

// What was staged under a wrong version is gone also where the versions give an event the same id.
func TestWrongVersionWithTheSameIDs(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		topic := a.send(room, stateDraft(alice, "m.room.topic", `{"topic":"x"}`))
		if err := b.engine.BeginJoin(t.Context(), room, "9"); err != nil {
			t.Fatal(err)
		}
		if results := b.receive("a.example", topic.JSON()); results[topic.ID()] != "" {
			t.Fatal(results)
		}
		b.join(room, bob, a)
		n.deliver()
		b.restart()
		if diff := cmp.Diff(a.state(room), b.state(room)); diff != "" {
			t.Errorf("state: %s", diff)
		}
		if e := b.stateEvent(room, event.StateKey{Type: "m.room.topic"}); e == nil || e.ID() != topic.ID() {
			t.Error("the topic is not stored")
		}
	})
}

// admitted is b's join of a new room of a, handed over, with the answer.
func admitted(t *testing.T, n *network) (a, b *server, join *event.Event, admission pdu.Admission) {
	t.Helper()
	a, b = n.start("a.example"), n.start("b.example")
	room := a.createPublic("10", alice)
	join, err := b.handOver(room, member(bob, bob, "join"), a)
	if err != nil {
		t.Fatal(err)
	}
	h := pdu.Handover{Room: room, EventID: join.ID(), Membership: "join"}
	admission, err = a.engine.AcceptMembership(t.Context(), "b.example", h, join.JSON())
	if err != nil {
		t.Fatal(err)
	}
	return a, b, join, admission
}

// The create event says of which version the room is, whatever the resident told (P-40).
func TestVersionOfTheCreateEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, join, admission := admitted(t, n)
		as := func(version string, events ...*event.Event) (list []*event.Event) {
			v, _ := event.VersionOf(version)
			for _, e := range events {
				parsed, err := event.Parse(v, e.JSON())
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, parsed)
			}
			return list
		}
		// Versions 9 and 10 have the same ids and signatures.
		if err := b.engine.BeginJoin(t.Context(), join.RoomID(), "9"); err != nil {
			t.Fatal(err)
		}
		err := b.engine.AdoptRoom(t.Context(), "9", as("9", join)[0], as("9", a.events(admission.StateBefore)...), as("9", a.events(admission.AuthChain)...), "a.example")
		if err == nil || !strings.Contains(err.Error(), "room version") {
			t.Errorf("room of version 10 as one of version 9: %v, want an error that names the version", err)
		}
	})
}

// A resident cannot have an event taken for one from before the join by adding it to the auth chain: what nothing rests on is not
// adopted, and has its effect when it arrives.
func TestChainHoldsOnlyWhatIsRestedOn(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, join, admission := admitted(t, n)
		room := join.RoomID()
		topic := a.send(room, stateDraft(alice, "m.room.topic", `{"topic":"after the join"}`))
		n.hold()
		if err := b.engine.BeginJoin(context.Background(), room, "10"); err != nil {
			t.Fatal(err)
		}
		chain := append(slices.Clone(a.events(admission.AuthChain)), topic)
		if err := b.engine.AdoptRoom(context.Background(), "10", join, a.events(admission.StateBefore), chain, "a.example"); err != nil {
			t.Fatal(err)
		}
		b.receive("a.example", topic.JSON())
		if diff := cmp.Diff([]ident.EventID{join.ID(), topic.ID()}, b.delivered()); diff != "" {
			t.Errorf("delivered: %s", diff)
		}
		if diff := cmp.Diff(a.state(room), b.state(room)); diff != "" {
			t.Errorf("state: %s", diff)
		}
	})
}

// An event that is in the graph is not placed again when it is handed over: what was refused stays refused, and the user may join anew.
func TestHandedOverEventThatSoftFailed(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		join, err := b.handOver(room, member(bob, bob, "join"), a)
		if err != nil {
			t.Fatal(err)
		}
		a.send(room, stateDraft(alice, "m.room.join_rules", `{"join_rule":"invite"}`))
		a.receive("c.example", join.JSON())
		a.wantOutcome(join, pdu.SoftFailed, "P-29", "")
		a.send(room, stateDraft(alice, "m.room.join_rules", `{"join_rule":"public"}`))
		extremities := a.extremities(room)
		h := pdu.Handover{Room: room, EventID: join.ID(), Membership: "join"}
		if _, err := a.engine.AcceptMembership(t.Context(), "b.example", h, join.JSON()); errcode(err) != "403 M_FORBIDDEN" {
			t.Errorf("an event that was judged is judged again: %v", err)
		}
		if diff := cmp.Diff(extremities, a.extremities(room)); diff != "" {
			t.Errorf("extremities: %s", diff)
		}
	})
}
