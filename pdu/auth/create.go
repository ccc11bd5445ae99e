// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// checkCreate is rule 1 of every room version (P-40, R-22). It needs no state: the event is the first of its room.
func checkCreate(e *event.Event) Result {
	if n := len(e.PrevEvents()); n != 0 {
		return deny("P-40", "a create event has no prev_events, this one has %d", n)
	}
	if refusal := checkCreateRoomID(e); refusal != nil {
		return *refusal
	}
	content := e.Content()
	if content.Has("room_version") {
		name, isText := content.Get("room_version").Text()
		if _, known := event.VersionOf(name); !isText || !known {
			return deny("P-40", "room_version %s is not a known version", content.Get("room_version").Canonical())
		}
	}
	if e.Version().CreatorInContent && !content.Has("creator") {
		return deny("P-40", "content has no creator")
	}
	if e.Version().PrivilegedCreators && content.Has("additional_creators") {
		if refusal := checkAdditionalCreators(content.Get("additional_creators")); refusal != nil {
			return *refusal
		}
	}
	return allow("P-40", "the create event is well formed")
}

// checkCreateRoomID: up to version 11 the room id's domain is the sender's; from 12 on there is no room id, it follows from
// the event.
func checkCreateRoomID(e *event.Event) *Result {
	if e.Version().HashRoomID {
		if e.HasRoomID() {
			return refuse("R-12", "a create event of this room version carries no room_id, this one has %s", e.RoomID())
		}
		return nil
	}
	if server, _ := e.RoomID().Server(); server != e.Sender().Server() {
		return refuse("P-40", "room id %s is not of the sender's server %s", e.RoomID(), e.Sender().Server())
	}
	return nil
}

// checkAdditionalCreators: an array of strings that are user ids by the check that sender passes.
func checkAdditionalCreators(list canonicaljson.Value) *Result {
	if list.Kind() != canonicaljson.Array {
		return refuse("R-22", "additional_creators is not an array")
	}
	for item := range list.Elements() {
		text, ok := item.Text()
		if !ok {
			return refuse("R-22", "additional_creators holds %s, which is not a string", item.Canonical())
		}
		if _, err := ident.ParseUserID(text); err != nil {
			return refuse("R-22", "additional_creators: %v", err)
		}
	}
	return nil
}
