// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// forks makes events of bob's on one parent.
func forks(t *testing.T, s *server, room ident.RoomID, parent *event.Event, n int) (events []*event.Event, wire [][]byte) {
	t.Helper()
	auth := s.authFor(room, createSlot, levelsSlot, memberOf(bob))
	for i := range n {
		e := build(t, room, text(bob, fmt.Sprint(i)), []*event.Event{parent}, auth)
		events, wire = append(events, e), append(wire, e.JSON())
	}
	return events, wire
}

func (s *server) merges(room ident.RoomID, sender ident.UserID) (count int) {
	s.net.t.Helper()
	for _, id := range s.delivered() {
		if e := s.stored(id).Event; e.RoomID() == room && e.Type() == "org.matrix.dummy_event" && e.Sender() == sender {
			count++
		}
	}
	return count
}

// Many extremities are merged after a while by one of the servers, and the other finds nothing to do. A few are left alone.
func TestExtremitiesAreMerged(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("11", alice)
		b.join(room, bob, a)
		n.deliver()
		parent := a.send(room, text(alice, "parent"))
		n.deliver()
		_, few := forks(t, a, room, parent, 10)
		a.receive("b.example", few...)
		time.Sleep(time.Hour)
		n.deliver()
		if got := len(a.extremities(room)); got != 10 || a.merges(room, alice) != 0 {
			t.Fatalf("%d extremities, %d merges, want 10 left alone", got, a.merges(room, alice))
		}
		_, many := forks(t, a, room, parent, 30)
		for _, s := range []*server{a, b} {
			s.receive("b.example", many...)
		}
		for range 30 { // minutes, so that each hears of the other's merge before its own
			time.Sleep(time.Minute)
			n.deliver()
		}
		for _, s := range []*server{a, b} {
			if got := len(s.extremities(room)); got > 10 {
				t.Errorf("%s: %d extremities left", s.name, got)
			}
		}
		// a has 40 extremities, of which one merge takes 20. Two servers may coincide, but not each time.
		if all := a.merges(room, alice) + a.merges(room, bob); all < 2 || all > 4 {
			t.Errorf("%d merges, want 2 to 4", all)
		}
	})
}

// A server whose users may not send does not try without end.
func TestNobodyMerges(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("11", alice)
		b.join(room, bob, a)
		n.deliver()
		parent := a.send(room, text(alice, "parent"))
		levels := a.send(room, stateDraft(alice, "m.room.power_levels", `{"users":{"@alice:a.example":100},"events_default":50}`))
		n.deliver()
		a.close() // only b is left, whose user may not send
		auth := b.authFor(room, createSlot, memberOf(alice))
		var wire [][]byte
		for i := range 12 {
			wire = append(wire, build(t, room, text(alice, fmt.Sprint(i)), []*event.Event{parent, levels}, append(auth, levels)).JSON())
		}
		b.receive("a.example", wire...)
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if got := len(b.extremities(room)); got != 12 || b.merges(room, bob) != 0 {
			t.Errorf("%d extremities, %d merges", got, b.merges(room, bob))
		}
	})
}

// A flood of forks: beyond the cap no more of them become extremities, all are accepted and delivered, what was an extremity before
// stays one, and honest events go on taking its place. State on a fork that was left out counts once it is followed.
func TestExtremitiesAreCapped(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("11", alice)
		b.join(room, bob, a)
		n.deliver()
		a.send(room, stateDraft(alice, "m.room.power_levels", `{"users":{"@alice:a.example":100,"@bob:b.example":50}}`))
		n.deliver()
		parent := a.send(room, text(alice, "parent"))
		honest := a.send(room, stateDraft(alice, "m.room.name", `{"name":"honest"}`))
		events, wire := forks(t, a, room, parent, 300)
		for part := range slices.Chunk(wire, 50) {
			a.receive("b.example", part...)
		}
		for _, e := range events {
			a.wantOutcome(e, pdu.Accepted, "", "")
		}
		heads := a.extremities(room)
		if len(heads) != 256 || !slices.Contains(heads, honest.ID()) {
			t.Fatalf("%d extremities, that from before among them: %v", len(heads), slices.Contains(heads, honest.ID()))
		}
		if got := len(a.delivered()); got < 300 {
			t.Errorf("%d events delivered", got)
		}
		next := build(t, room, text(alice, "next"), []*event.Event{honest}, a.authFor(room, createSlot, levelsSlot, memberOf(alice)))
		a.receive("a.example", next.JSON())
		if heads := a.extremities(room); len(heads) != 256 || !slices.Contains(heads, next.ID()) {
			t.Error("an honest event did not take the place of what it follows")
		}
		topic := build(t, room, stateDraft(bob, "m.room.topic", `{"topic":"late"}`), []*event.Event{parent}, a.authFor(room, createSlot, levelsSlot, memberOf(bob)))
		a.receive("b.example", topic.JSON())
		topicSlot := event.StateKey{Type: "m.room.topic"}
		if a.stateEvent(room, topicSlot) != nil {
			t.Error("the state of a fork that was left out counts")
		}
		both := build(t, room, text(alice, "both"), []*event.Event{next, topic}, a.authFor(room, createSlot, levelsSlot, memberOf(alice)))
		a.receive("a.example", both.JSON())
		if got := a.stateEvent(room, topicSlot); got == nil || got.ID() != topic.ID() {
			t.Error("the state of a fork that is followed does not count")
		}
		for range 60 {
			time.Sleep(time.Minute)
			n.deliver()
		}
		if got := len(a.extremities(room)); got > 10 {
			t.Errorf("%d extremities are left after an hour", got)
		}
		if got := a.alarms(); len(got) != 0 {
			t.Errorf("rang: %+v", got[0].Slots)
		}
	})
}
