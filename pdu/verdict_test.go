// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// Server-server API, "Soft failure" (V-13): B bans D's sender on one side of a fork; D, which references only A, comes later. It
// is valid by A and not by the current state.
//
//	  A
//	 / \
//	B   D
//	|
//	C
func TestSoftFailure(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.start("a.example")
		b := n.start("b.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		top := a.send(room, text(alice, "A"))
		n.deliver()
		authOfBob := b.authFor(room, createSlot, levelsSlot, memberOf(bob))
		a.send(room, member(alice, bob, "ban"))
		c := a.send(room, stateDraft(alice, "m.room.topic", `{"topic":"C"}`))
		n.hold()
		before := a.delivered()

		d := build(t, room, text(bob, "D"), []*event.Event{top}, authOfBob)
		if results := a.receive("b.example", d.JSON()); results[d.ID()] != "" {
			t.Errorf("T-05: a soft-failed event is reported as %q", results[d.ID()])
		}
		a.wantOutcome(d, pdu.SoftFailed, "P-29", "P-51")
		if diff := cmp.Diff([]ident.EventID{c.ID()}, a.extremities(room)); diff != "" {
			t.Errorf("P-33: extremities: %s", diff)
		}
		if diff := cmp.Diff(before, a.delivered()); diff != "" {
			t.Errorf("P-33: delivered: %s", diff)
		}
		// D′ follows D and C: by the state before it, bob is banned.
		d2 := build(t, room, text(bob, "D′"), []*event.Event{d, c}, authOfBob)
		a.receive("b.example", d2.JSON())
		a.wantOutcome(d2, pdu.Rejected, "P-28", "P-51")
	})
}

// Server-server API, "PDUs" (V-14): of E1 … E6 in a fork, only E4 and E6 are unreferenced, and a new event follows both.
//
//	E1 ─ E2 ─ E4
//	  └─ E3 ─ E5 ─ E6
func TestForwardExtremities(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.start("a.example")
		room := a.createPublic("10", alice)
		auth := a.authFor(room, createSlot, levelsSlot, memberOf(alice))
		e1 := a.send(room, text(alice, "E1"))
		next := func(body string, parents ...*event.Event) *event.Event {
			e := build(t, room, text(alice, body), parents, auth)
			a.receive("a.example", e.JSON())
			return e
		}
		e2 := next("E2", e1)
		e3 := next("E3", e1)
		e4 := next("E4", e2)
		e5 := next("E5", e3)
		e6 := next("E6", e5)
		want := []ident.EventID{e4.ID(), e6.ID()}
		slices.Sort(want)
		if diff := cmp.Diff(want, a.extremities(room)); diff != "" {
			t.Errorf("extremities: %s", diff)
		}
		e7 := a.send(room, text(alice, "E7"))
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(e7.PrevEvents()))); diff != "" {
			t.Errorf("prev_events of the new event: %s", diff)
		}
	})
}

// A rejected event is stored, is no extremity and changes nothing; its children are judged on their own (P-31).
func TestRejectedEventsAndTheirChildren(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		a.send(room, stateDraft(alice, "m.room.power_levels", `{"events":{"m.child":0},"events_default":10,"users":{"@alice:a.example":100}}`))
		top := a.send(room, text(alice, "top"))
		n.deliver()
		authOfBob := b.authFor(room, createSlot, levelsSlot, memberOf(bob))

		// Bob may not set the topic, by the power levels that his own auth_events list.
		topic := build(t, room, stateDraft(bob, "m.room.topic", `{"topic":"bob's"}`), []*event.Event{top}, authOfBob)
		a.receive("b.example", topic.JSON())
		a.wantOutcome(topic, pdu.Rejected, "P-27", "P-54")
		// G-F2: without the power levels in auth_events a message to a read-only room passes there, and fails by the state before it.
		hidden := build(t, room, text(bob, "hidden"), []*event.Event{top}, b.authFor(room, createSlot, memberOf(bob)))
		a.receive("b.example", hidden.JSON())
		a.wantOutcome(hidden, pdu.Rejected, "P-28", "P-54")
		// P-41: an auth event that the selection does not name; G-A12.
		oddDraft := text(bob, "odd")
		oddDraft.Type = "m.child"
		odd := build(t, room, oddDraft, []*event.Event{top}, append(slices.Clone(authOfBob), b.stateEvent(room, rulesSlot)))
		a.receive("b.example", odd.JSON())
		a.wantOutcome(odd, pdu.Rejected, "P-27", "P-41")

		if diff := cmp.Diff([]ident.EventID{top.ID()}, a.extremities(room)); diff != "" {
			t.Errorf("extremities: %s", diff)
		}
		draft := text(bob, "child")
		draft.Type = "m.child"
		child := build(t, room, draft, []*event.Event{topic, hidden}, authOfBob)
		a.receive("b.example", child.JSON())
		a.wantOutcome(child, pdu.Accepted, "", "")
		if diff := cmp.Diff([]ident.EventID{child.ID()}, a.extremities(room)); diff != "" {
			t.Errorf("extremities after the child: what the rejected events followed must not stay one: %s", diff)
		}
		if e := a.stateEvent(room, event.StateKey{Type: "m.room.topic"}); e != nil {
			t.Error("the rejected topic is in the state")
		}
		for _, id := range []ident.EventID{topic.ID(), hidden.ID(), odd.ID()} {
			if slices.Contains(a.delivered(), id) {
				t.Errorf("rejected event %s was delivered", id)
			}
		}
		// An event that rests on a rejected one is rejected (P-41).
		resting := build(t, room, stateDraft(bob, "m.room.topic", `{"topic":"x"}`), []*event.Event{child}, append(slices.Clone(authOfBob), topic))
		a.receive("b.example", resting.JSON())
		a.wantOutcome(resting, pdu.Rejected, "P-27", "P-41")
	})
}

// The state of another room, in which the sender has all power, says nothing about this one.
func TestParentOfAnotherRoomIsRejected(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room, own := a.createPublic("10", alice), b.createPublic("10", bob)
		b.join(room, bob, a)
		a.join(own, alice, b)
		n.deliver()
		auth := b.authFor(room, createSlot, levelsSlot, memberOf(bob))
		before := a.state(room)
		for name, parents := range map[string][]*event.Event{
			"only":  {a.stateEvent(own, memberOf(alice))},
			"mixed": {a.stateEvent(own, memberOf(alice)), a.stateEvent(room, memberOf(bob))},
		} {
			e := build(t, room, text(bob, name), parents, auth)
			a.receive("b.example", e.JSON())
			a.wantOutcome(e, pdu.Rejected, "P-28", "P-70")
		}
		if diff := cmp.Diff(before, a.state(room)); diff != "" {
			t.Errorf("state: %s", diff)
		}
	})
}

// A second create event does not start the room again (P-40).
func TestSecondCreateIsRejected(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.start("a.example")
		room := a.createPublic("10", alice)
		v, _ := event.VersionOf("10")
		second, err := event.Build(v, event.Proto{
			RoomID: room, Sender: anna, Type: "m.room.create", StateKey: key(""), Depth: 1,
			Content: []byte(`{"creator":"@anna:a.example","room_version":"10"}`),
		}, "a.example", keyOf("a.example"))
		if err != nil {
			t.Fatal(err)
		}
		state := a.state(room)
		a.receive("a.example", second.JSON())
		a.wantOutcome(second, pdu.Rejected, "P-27", "P-40")
		if diff := cmp.Diff(state, a.state(room)); diff != "" {
			t.Errorf("state: %s", diff)
		}
	})
}

// An event whose content hash does not match is kept redacted (P-15), and a redacted join still counts (P-32).
func TestHashMismatch(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		e := build(t, room, text(bob, "true"), []*event.Event{b.stateEvent(room, memberOf(bob))}, b.authFor(room, createSlot, levelsSlot, memberOf(bob)))
		forged := []byte(strings.Replace(string(e.JSON()), `"true"`, `"false"`, 1))
		if results := a.receive("b.example", forged); results[e.ID()] != "" {
			t.Errorf("result %q, want none: same id, redacted", results[e.ID()])
		}
		stored, err := a.engine.Event(t.Context(), e.ID())
		if err != nil || stored.Event.Content().Has("body") || stored.Outcome != pdu.Accepted {
			t.Errorf("stored %s as %v, %v; want the redacted event, accepted", stored.Event.JSON(), stored.Outcome, err)
		}
		if v, found, err := a.engine.Verdict(t.Context(), e.ID()); err != nil || !found || !v.Redacted {
			t.Errorf("verdict %+v, %v, %v; want a record that says redacted", v, found, err)
		}
	})
}

// Redelivery changes nothing: no second position, whoever sends it and however often (M-36).
func TestRedelivery(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("12", alice)
		b.join(room, bob, a)
		n.deliver()
		e := b.send(room, text(bob, "once"))
		a.receive("b.example", e.JSON(), e.JSON())
		want := a.delivered()
		if results := a.receive("c.example", e.JSON()); len(results) != 1 || results[e.ID()] != "" {
			t.Errorf("results %v, want success for one", results)
		}
		a.restart().receive("b.example", e.JSON())
		if diff := cmp.Diff(want, a.delivered()); diff != "" {
			t.Errorf("delivered: %s", diff)
		}
	})
}

// Events of one room in any order in a transaction are judged in the order of the graph (T-07).
func TestTransactionInAnyOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("12", alice)
		b.join(room, bob, a)
		n.deliver()
		var pdus [][]byte
		var ids []ident.EventID
		for range 20 {
			e := b.send(room, text(bob, "x"))
			pdus, ids = append(pdus, e.JSON()), append(ids, e.ID())
		}
		n.hold()
		slices.Reverse(pdus)
		before := len(a.delivered())
		a.receive("b.example", pdus...)
		if diff := cmp.Diff(ids, a.delivered()[before:]); diff != "" {
			t.Errorf("delivered: %s", diff)
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(n.asked) != 0 {
			t.Errorf("requests were made: %v", n.asked)
		}
	})
}
