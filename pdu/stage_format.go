// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"errors"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// parseFormat is the first check on receipt: the event must be one of the room's version, or it is dropped (server-server
// API, "Checks performed on receipt of a PDU"; P-25). Parsing also does the third, the content hash: an event that fails it
// goes on as its redacted copy (P-15).
func parseFormat(v *event.Version, wire []byte) (*event.Event, *Check) {
	parsed, err := event.Parse(v, wire)
	if err == nil {
		return parsed, nil
	}
	check := Check{ID: "P-25", Rule: "P-25", Detail: err.Error()}
	if malformed, ok := errors.AsType[*event.FormatError](err); ok {
		check.Rule, check.Detail = malformed.Rule, malformed.Detail
	}
	return nil, &check
}

// peek reads which room an event is of, which says how to read the rest of it. The create event of room version 12 has no room
// id: its own version says how to find it (T-08). ok is false for what tells neither.
func peek(wire []byte) (id ident.RoomID, version *event.Version, ok bool) {
	root, err := canonicaljson.ParseWithout(wire, canonicaljson.Lenient, "unsigned") // which must not matter (P-19)
	if err != nil {
		return "", nil, false
	}
	if text, ok := root.Get("room_id").Text(); ok {
		id, err := ident.ParseRoomID(text)
		return id, nil, err == nil
	}
	name, _ := root.Get("content").Get("room_version").Text()
	version, known := event.VersionOf(name)
	return "", version, known && version.HashRoomID
}

// eventIDField is the id that events of room versions 1 and 2 carry, "" if there is none: all that can be said about an event
// that cannot be parsed.
func eventIDField(wire []byte) ident.EventID {
	root, err := canonicaljson.ParseWithout(wire, canonicaljson.Lenient, "unsigned")
	if err != nil {
		return ""
	}
	text, _ := root.Get("event_id").Text()
	id, err := ident.ParseEventID(text)
	if err != nil {
		return ""
	}
	return id
}
