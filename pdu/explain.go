// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"slices"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/policy"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/transport/ident"
)

// explain adds to a verdict that is kept which events each check looked at, and on which of them the outcome hangs. It runs before
// the event has its effect on the room: the current state is still the one that it was judged at.
func (b *batch) explain(r *record, v *Verdict) (err error) {
	for i := range v.Checks {
		check := &v.Checks[i]
		switch check.ID {
		case "P-27":
			check.Inputs = r.event.AuthEvents()
		case "P-28":
			check.Inputs, err = b.inputs(r.event, r.before)
		case "P-29":
			if !check.OK || r.before != b.head.current {
				check.Inputs, err = b.inputs(r.event, b.head.current)
			}
		}
		if check.ID == "P-30" && check.Rule == "M-104" {
			var named ident.EventID
			if named, _, err = state.Get(b, b.head.current, policy.Slot); named != "" {
				check.Inputs = []ident.EventID{named}
			}
		}
		if err != nil {
			return err
		}
	}
	if v.Outcome == Rejected || v.Outcome == SoftFailed {
		v.Causes = b.causes(r.event, v.Decisive())
	}
	return nil
}

// inputs is the events of a state that the rules look at to judge an event (P-35).
func (b *batch) inputs(e *event.Event, root state.Root) (list []ident.EventID, err error) {
	var stateKey *string
	if key, ok := e.StateKey(); ok {
		stateKey = &key
	}
	slots := auth.Needed(b.head.version, e.Type(), stateKey, e.Sender(), e.Content())
	if b.head.version.HashRoomID {
		slots = append(slots, createSlot)
	}
	for _, slot := range slots {
		id, ok, err := state.Get(b, root, slot)
		if err != nil {
			return nil, err
		}
		if ok {
			list = append(list, id)
		}
	}
	return list, nil
}

// causes is the inputs that could make the outcome another one. By its own auth events an event is judged the same for ever, unless
// one of them was rejected: that may be judged again.
func (b *batch) causes(e *event.Event, decisive Check) []ident.EventID {
	switch {
	case decisive.ID == "P-27":
		return rejectedOf(e, source{b}.Rejected)
	case decisive.Rule == "P-70":
		return nil // a parent is of its room for ever
	}
	return decisive.Inputs
}

// rejectedOf is the events that an event rests on and that were rejected.
func rejectedOf(e *event.Event, rejected func(ident.EventID) bool) (list []ident.EventID) {
	on := e.AuthEvents()
	if room := e.RoomID(); e.Version().HashRoomID && len(room) > 1 && !e.IsState(createSlot) {
		on = append(slices.Clone(on), "$"+ident.EventID(room[1:]))
	}
	for _, id := range on {
		if rejected(id) {
			list = append(list, id)
		}
	}
	return list
}
