// SPDX-License-Identifier: Apache-2.0

package casefile

import (
	"fmt"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// checkChains makes sure that the auth chain of every state is there and ends. Where senders choose event ids, in room versions
// 1 and 2, auth events can form a loop.
func (p *pool) checkChains(sets []map[event.StateKey]*event.Event) error {
	w := walk{p: p, begun: make(map[ident.EventID]bool), done: make(map[ident.EventID]bool)}
	for _, set := range sets {
		for _, slot := range slices.SortedFunc(maps.Keys(set), compareKeys) {
			if err := w.from(set[slot].ID()); err != nil {
				return err
			}
		}
	}
	return nil
}

// walk goes through auth chains, depth first, each event once.
type walk struct {
	p           *pool
	begun, done map[ident.EventID]bool
}

func (w *walk) from(start ident.EventID) error {
	stack := []ident.EventID{start}
	for len(stack) > 0 {
		id := stack[len(stack)-1]
		if w.begun[id] {
			w.done[id] = true // all that is below it is done
			stack = stack[:len(stack)-1]
			continue
		}
		w.begun[id] = true
		e, err := w.p.Event(id)
		if err != nil {
			return err
		}
		if err := w.checkCreate(e); err != nil {
			return err
		}
		for _, a := range e.AuthEvents() {
			if _, ok := w.p.known[a]; !ok {
				return fmt.Errorf("%s: auth_events of %s: %w", w.p.known[id].place, id, w.p.unknown(a))
			}
			if w.begun[a] && !w.done[a] { // then it is above id
				return fmt.Errorf("the auth events of %s go round in a loop", a)
			}
			if !w.begun[a] {
				stack = append(stack, a)
			}
		}
	}
	return nil
}

// checkCreate: a room id that stands for the create event calls for it.
func (w *walk) checkCreate(e *event.Event) error {
	if w.p.version.HashRoomID && w.p.create(e.RoomID()) == nil {
		return fmt.Errorf("%s: room_id %s names the create event, which is not among the events", w.p.known[e.ID()].place, e.RoomID())
	}
	return nil
}
