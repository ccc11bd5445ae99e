// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// CheckAuthEvents judges the list that e rests on, apart from any state: rule 2 of room versions 1 to 11, rules 2 and 3 of
// version 12 (P-41, R-24). authEvents holds the event for each entry of e.AuthEvents(), in that order; while one is missing e
// cannot be judged. rejected answers whether an event was refused when it was received; it is asked for the entries, and from
// version 12 on for the create event that the room id names.
//
// The rule does not apply to a create event, whatever it lists: rule 1 has decided about it.
func CheckAuthEvents(e *event.Event, authEvents []*event.Event, rejected func(ident.EventID) bool) Result {
	if e.Type() == typeCreate {
		return allow("P-41", "a create event rests on no other event")
	}
	if refusal := checkRoomCreate(e, rejected); refusal != nil {
		return *refusal
	}
	if len(authEvents) != len(e.AuthEvents()) {
		return deny("P-41", "auth_events lists %d events, of which %d were given", len(e.AuthEvents()), len(authEvents))
	}
	needed := neededFor(e)
	if refusal := checkSelection(authEvents, needed); refusal != nil {
		return *refusal
	}
	for _, a := range authEvents {
		if rejected(a.ID()) {
			return deny("P-41", "auth event %s was rejected", a.ID())
		}
	}
	if !e.Version().HashRoomID && !slices.ContainsFunc(authEvents, isCreate) {
		return deny("P-41", "auth_events holds no m.room.create event")
	}
	for _, a := range authEvents {
		if a.RoomID() != e.RoomID() {
			return deny("P-41", "auth event %s is of room %s, not of %s", a.ID(), a.RoomID(), e.RoomID())
		}
	}
	return allow("P-41", "auth_events are those that the selection asks for")
}

// checkRoomCreate: the room id of version 12 names a create event, which must not have been rejected. That it is known and
// the room's own is seen when the state is asked for it.
func checkRoomCreate(e *event.Event, rejected func(ident.EventID) bool) *Result {
	if !e.Version().HashRoomID {
		return nil
	}
	room := e.RoomID()
	if len(room) < 2 {
		return refuse("R-24", "room id %q names no event", room)
	}
	if create := "$" + ident.EventID(room[1:]); rejected(create) {
		return refuse("R-24", "room id %s names the create event %s, which was rejected", room, create)
	}
	return nil
}

// checkSelection refuses two entries for one slot, and entries for a slot that the selection does not name.
func checkSelection(authEvents []*event.Event, needed []event.StateKey) *Result {
	seen := make([]event.StateKey, 0, len(authEvents))
	for _, a := range authEvents {
		slot, isState := a.Slot()
		if isState && slices.Contains(seen, slot) {
			return refuse("P-41", "auth_events holds two events for (%s, %q), the second is %s", slot.Type, slot.Key, a.ID())
		}
		seen = append(seen, slot)
	}
	for _, a := range authEvents {
		if slot, isState := a.Slot(); !isState || !slices.Contains(needed, slot) {
			return refuse("P-41", "auth event %s (%s, %q) is none that this event rests on", a.ID(), a.Type(), slot.Key)
		}
	}
	return nil
}

func neededFor(e *event.Event) []event.StateKey {
	var stateKey *string
	if key, ok := e.StateKey(); ok {
		stateKey = &key
	}
	var content canonicaljson.Value // only that of members matters, and it is taken apart when first asked for
	if e.Type() == typeMember {
		content = e.Content()
	}
	return Needed(e.Version(), e.Type(), stateKey, e.Sender(), content)
}

func isCreate(e *event.Event) bool {
	slot, ok := e.Slot()
	return ok && slot == createSlot
}
