// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// checkAuthEvents is the fourth check on receipt: the event's own auth events must be those that the rules ask for, and must
// allow it (server-server API, "Checks performed on receipt of a PDU"; P-27, P-41). All of them are known.
func (b *batch) checkAuthEvents(r *record) (auth.Result, error) {
	e := r.event
	if e.IsState(createSlot) && b.head.create != "" && e.ID() != b.head.create {
		return auth.Result{Rule: "P-40", Detail: "the room has been created by " + string(b.head.create)}, nil
	}
	listed := make([]*event.Event, 0, len(e.AuthEvents())+1)
	for _, id := range e.AuthEvents() {
		a, err := b.stored(id)
		if err != nil {
			return auth.Result{}, err
		}
		listed = append(listed, a.event)
	}
	result := auth.CheckAuthEvents(e, listed, func(id ident.EventID) bool { return source{b}.Rejected(id) })
	if !result.OK {
		return result, nil
	}
	if e.Version().HashRoomID { // the room id stands for the create event
		create, err := b.create()
		if err != nil {
			return auth.Result{}, err
		}
		if create != nil {
			listed = append(listed, create)
		}
	}
	return auth.Check(e, auth.StateOf(listed)), nil
}

// createSlot is the slot of the event that a room begins with.
var createSlot = event.StateKey{Type: "m.room.create"}

// memberType is the type of the events that say who is in the room.
const memberType = "m.room.member"
