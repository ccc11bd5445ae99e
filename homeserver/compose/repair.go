// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"slices"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// A change of state that no event made, in the middle of a timeline, has no place in the classic answer: "state" is what was before the
// timeline, and the timeline has events only. What no event of the timeline sets before it can stand in "state" all the same, where a
// client has it in the end. What one does set cannot: then the answer ends before the change, and the next one has it in "state". Where
// the client knows nothing of the room yet the timeline begins after it instead.

// repair sees to it that the silent changes in the timeline can be told.
func (p *roomPart) repair(fresh bool) error {
	if p.x.request.after != atStart {
		return nil
	}
	for _, mark := range slices.Backward(p.tail.Silent) {
		changes, err := p.silentChanges(mark)
		if err != nil {
			return err
		}
		if !p.setBefore(mark.Position, changes) {
			continue
		}
		if !fresh {
			return &cutError{mark.Position - 1}
		}
		p.tail.Limited = true
		p.tail.Events = slices.DeleteFunc(p.tail.Events, func(e *pdu.Placed) bool { return e.Position < mark.Position })
		p.tail.Silent = slices.DeleteFunc(p.tail.Silent, func(s persistence.RoomState) bool { return s.Position <= mark.Position })
		return nil
	}
	return nil
}

// silentChanges is what a silent change has changed.
func (p *roomPart) silentChanges(mark persistence.RoomState) ([]state.Change, error) {
	before, err := p.x.c.view.StateAsOf(p.x.ctx, p.nid, mark.Position-1)
	if err != nil {
		return nil, err
	}
	var after state.Root
	copy(after[:], mark.Root)
	return p.x.c.engine.StateChanges(p.x.ctx, before, after)
}

// setBefore says whether an event of the timeline before a position sets one of the slots.
func (p *roomPart) setBefore(at persistence.Position, changes []state.Change) bool {
	return slices.ContainsFunc(p.tail.Events, func(e *pdu.Placed) bool {
		slot, isState := e.Event.Slot()
		return isState && e.Position < at && slices.ContainsFunc(changes, func(c state.Change) bool { return c.Key == slot })
	})
}

// addRepairs adds what silent changes in the timeline have set.
func (p *roomPart) addRepairs(slots map[event.StateKey]ident.EventID) error {
	for _, mark := range p.tail.Silent {
		changes, err := p.silentChanges(mark)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if c.B != "" {
				slots[c.Key] = c.B
			}
		}
	}
	return nil
}
