// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"maps"
	"testing"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// states is a room's state as of each position of the file, and whether something is missing before the event there.
func (s *server) states(room ident.RoomID) (roots []state.Root, gaps []persistence.Position) {
	s.net.t.Helper()
	err := s.store.View(s.net.t.Context(), func(tx *persistence.Tx) error {
		row, _, err := tx.Room(room)
		if err != nil {
			return err
		}
		for at := persistence.Position(0); at <= tx.LastPosition(); at++ {
			root, err := pdu.StateAsOf(tx, row.NID, at)
			if err != nil {
				return err
			}
			mark, _, err := tx.RoomStateAt(row.NID, at)
			if roots = append(roots, root); mark.Gap && mark.Position == at {
				gaps = append(gaps, at)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.net.t.Fatal(err)
	}
	return roots, gaps
}

// At the position of each event the state is that before with the event in its slot; in the end it is the room's. Whoever joins has the
// state that came with the join before it, and a gap.
func TestStatesByPosition(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", "@alice:a.example")
		a.send(room, stateDraft("@alice:a.example", "m.room.topic", `{"topic":"one"}`))
		a.send(room, text("@alice:a.example", "hello"))
		b.join(room, "@bob:b.example", a)
		n.deliver()
		a.send(room, stateDraft("@alice:a.example", "m.room.topic", `{"topic":"two"}`))
		n.deliver()
		for _, s := range []*server{a, b} {
			roots, gaps := s.states(room)
			if wantGaps := map[bool]int{true: 1, false: 0}[s == b]; len(gaps) != wantGaps {
				t.Errorf("%s has gaps at %v, want %d", s.name, gaps, wantGaps)
			}
			folded := map[event.StateKey]ident.EventID{}
			deliveries, err := s.engine.Since(t.Context(), 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			for i, d := range deliveries {
				if i == 0 {
					folded = s.stateOf(roots[d.Position-1]) // what came with the join, if it is one
				}
				if slot, ok := d.Event.Slot(); ok {
					folded[slot] = d.Event.ID()
				}
				if got := s.stateOf(roots[d.Position]); !maps.Equal(got, folded) {
					t.Errorf("%s: the state as of %d, %s, is %v, want %v", s.name, d.Position, d.Event.Type(), got, folded)
				}
			}
			if got := s.stateOf(roots[len(roots)-1]); !maps.Equal(got, s.state(room)) {
				t.Errorf("%s: the last state is %v, want the room's, %v", s.name, got, s.state(room))
			}
		}
	})
}

// What loses is in the state at its own position, where it is told, and out of it at the next, which no event has.
func TestStateOfALoser(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.start("a.example")
		room := a.createPublic("10", "@alice:a.example")
		parents := a.events(a.extremities(room))
		authFor := a.authFor(room, event.StateKey{Type: "m.room.create"}, event.StateKey{Type: "m.room.power_levels"}, memberOf("@alice:a.example"))
		slot := event.StateKey{Type: "m.room.topic"}
		fork := []*event.Event{
			build(t, room, stateDraft("@alice:a.example", "m.room.topic", `{"topic":"one"}`), parents, authFor),
			build(t, room, stateDraft("@alice:a.example", "m.room.topic", `{"topic":"two"}`), parents, authFor),
		}
		for _, e := range fork {
			a.receive("c.example", e.JSON())
		}
		roots, _ := a.states(room)
		deliveries, err := a.engine.Since(t.Context(), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range deliveries[len(deliveries)-2:] {
			if got := a.stateOf(roots[d.Position])[slot]; got != d.Event.ID() {
				t.Errorf("as of its own position the topic is %s, not %s", got, d.Event.ID())
			}
		}
		if got, want := a.stateOf(roots[len(roots)-1])[slot], a.state(room)[slot]; got != want {
			t.Errorf("in the end the topic is %s, want that of the room, %s", got, want)
		}
	})
}

func (s *server) stateOf(root state.Root) map[event.StateKey]ident.EventID {
	s.net.t.Helper()
	all, err := s.engine.StateOf(s.net.t.Context(), root)
	if err != nil {
		s.net.t.Fatal(err)
	}
	return all
}
