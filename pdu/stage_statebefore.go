// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"fmt"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/transport/ident"
)

// stateBefore is the state before an event: resolved over the states after its parents (P-70). A rejected parent changed no
// state (P-31), and an event of another room is no parent.
func (b *batch) stateBefore(e *event.Event) (state.Root, error) {
	roots := make([]state.Root, 0, len(e.PrevEvents()))
	for _, id := range e.PrevEvents() {
		r, err := b.stored(id)
		if err != nil {
			return state.Root{}, err
		}
		if r.event.RoomID() == b.id {
			roots = append(roots, r.after)
		}
	}
	root, err := b.resolve(roots)
	if err != nil {
		return state.Root{}, fmt.Errorf("state before: %w", err)
	}
	return root, nil
}

// stateAfter is the state after an event that changes it.
func (b *batch) stateAfter(e *event.Event, before state.Root) (state.Root, error) {
	slot, isState := e.Slot()
	if !isState {
		return before, nil
	}
	return b.setState(before, map[event.StateKey]ident.EventID{slot: e.ID()})
}

// checkStateBefore is the fifth check on receipt: the state before the event must allow it (P-28). An event that claims a
// parent in another room has no such state.
func (b *batch) checkStateBefore(r *record) (auth.Result, error) {
	for _, id := range r.event.PrevEvents() {
		p, err := b.record(id)
		if err != nil {
			return auth.Result{}, err
		}
		if p != nil && p.event.RoomID() != b.id { // one that is missing is not missed: the state before the event was given
			return auth.Result{Rule: "P-70", Detail: fmt.Sprintf("the parent %s is of room %s", id, p.event.RoomID())}, nil
		}
	}
	return b.checkAt(r.event, r.before)
}

func (b *batch) checkAt(e *event.Event, root state.Root) (auth.Result, error) {
	at := &stateAt{b: b, root: root}
	result := auth.Check(e, b.assume(e, at))
	return result, at.err
}
