// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"cmp"
	"context"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// stateWithoutMembers is the events of a state that a joiner is given who wants no members (M-10): of the member events only those
// of the heroes, by whom clients call a room that has neither name nor alias (M-11). Only then is any member event read.
func (e *Engine) stateWithoutMembers(ctx context.Context, all map[event.StateKey]ident.EventID, joiner ident.UserID) ([]ident.EventID, error) {
	var members, others []ident.EventID
	for slot, id := range all {
		switch {
		case slot.Type != memberType:
			others = append(others, id)
		case slot.Key != string(joiner):
			members = append(members, id)
		}
	}
	state, err := e.eventsOf(ctx, others)
	if err != nil || isNamed(state) {
		return others, err
	}
	events, err := e.eventsOf(ctx, members)
	return append(others, idsOf(heroesOf(events))...), err
}

// isNamed says whether a room has a name or an alias by a state.
func isNamed(state []*event.Event) bool {
	return slices.ContainsFunc(state, func(x *event.Event) bool {
		return x.IsState(nameSlot) && names(x.Content().Get("name")) || x.IsState(aliasSlot) && names(x.Content().Get("alias"))
	})
}

// heroesOf is the member events of the first few users who are joined or invited; without any, of those who have left or are banned
// (client-server API, "RoomSummary").
func heroesOf(members []*event.Event) []*event.Event {
	var here, gone []*event.Event
	for _, x := range members {
		switch member, _ := x.Membership(); member.Membership {
		case "join", "invite":
			here = append(here, x)
		case "leave", "ban":
			gone = append(gone, x)
		}
	}
	if len(here) == 0 {
		here = gone
	}
	slices.SortFunc(here, func(x, y *event.Event) int {
		return cmp.Or(cmp.Compare(x.OriginServerTS(), y.OriginServerTS()), cmp.Compare(x.ID(), y.ID()))
	})
	return here[:min(len(here), maxHeroes)]
}

func names(v canonicaljson.Value) bool {
	name, _ := v.Text()
	return name != ""
}

// without is those events of a list that are not in another.
func without(list, others []ident.EventID) []ident.EventID {
	there := make(map[ident.EventID]bool, len(others))
	for _, id := range others {
		there[id] = true
	}
	return slices.DeleteFunc(list, func(id ident.EventID) bool { return there[id] })
}

var (
	nameSlot  = event.StateKey{Type: "m.room.name"}
	aliasSlot = event.StateKey{Type: "m.room.canonical_alias"}
)
