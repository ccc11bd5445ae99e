// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"cmp"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// withoutMembers leaves the member events out of the state that a joiner is given (M-10), but for those of the heroes, by whom
// clients call a room that has neither name nor alias (M-11).
func withoutMembers(state []*event.Event, joiner ident.UserID) []*event.Event {
	kept := heroesOf(state, joiner)
	for _, x := range state {
		if x.Type() != memberType {
			kept = append(kept, x)
		}
	}
	return kept
}

// heroesOf is the member events of the first few other users who are joined or invited; without any, of those who have left or
// are banned (client-server API, "RoomSummary"). A room with a name or an alias needs none.
func heroesOf(state []*event.Event, joiner ident.UserID) []*event.Event {
	var here, gone []*event.Event
	for _, x := range state {
		if x.IsState(nameSlot) && names(x.Content().Get("name")) || x.IsState(aliasSlot) && names(x.Content().Get("alias")) {
			return nil
		}
		member, isMember := x.Membership()
		if key, _ := x.StateKey(); !isMember || key == string(joiner) {
			continue
		}
		switch member.Membership {
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
func without(list, others []*event.Event) []*event.Event {
	there := make(map[ident.EventID]bool, len(others))
	for _, x := range others {
		there[x.ID()] = true
	}
	return slices.DeleteFunc(list, func(x *event.Event) bool { return there[x.ID()] })
}

var (
	nameSlot  = event.StateKey{Type: "m.room.name"}
	aliasSlot = event.StateKey{Type: "m.room.canonical_alias"}
)
