// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxNeeded is the most slots that the selection names: create, power levels, sender, target, join rules, and one of the
// third-party invite and the authorising user.
const maxNeeded = 6

// Needed is the slots of state whose events an event of this kind lists as its auth_events, as far as the state fills them
// (server-server API, "Auth events selection"; P-35). The create event is left out where the room id implies it. Each slot
// is named once; their order is of no meaning. A create event needs none.
func Needed(v *event.Version, typ string, stateKey *string, sender ident.UserID, content canonicaljson.Value) []event.StateKey {
	if typ == typeCreate {
		return nil
	}
	slots := make([]event.StateKey, 0, maxNeeded)
	if !v.HashRoomID {
		slots = append(slots, createSlot)
	}
	slots = append(slots, powerSlot, memberSlot(sender))
	if typ != typeMember {
		return slots
	}
	if stateKey != nil && *stateKey != string(sender) {
		slots = append(slots, event.StateKey{Type: typeMember, Key: *stateKey})
	}
	for _, slot := range neededByMembership(v, content) {
		slots = addSlot(slots, slot)
	}
	return slots
}

// neededByMembership is the part of the selection that rests on what a member event says.
func neededByMembership(v *event.Version, content canonicaljson.Value) []event.StateKey {
	membership, _ := content.Get("membership").Text()
	switch membership {
	case membershipKnock:
		return []event.StateKey{joinRulesSlot}
	case membershipInvite:
		token, ok := content.Get("third_party_invite").Get("signed").Get("token").Text()
		if !ok {
			return []event.StateKey{joinRulesSlot}
		}
		return []event.StateKey{joinRulesSlot, {Type: typeThirdPartyInvite, Key: token}}
	case membershipJoin:
		authoriser, ok := content.Get("join_authorised_via_users_server").Text()
		if !ok || !v.Restricted {
			return []event.StateKey{joinRulesSlot}
		}
		return []event.StateKey{joinRulesSlot, memberSlot(ident.UserID(authoriser))}
	}
	return nil
}

func addSlot(slots []event.StateKey, slot event.StateKey) []event.StateKey {
	for _, have := range slots {
		if have == slot {
			return slots
		}
	}
	return append(slots, slot)
}
