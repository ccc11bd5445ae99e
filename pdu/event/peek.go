// SPDX-License-Identifier: Apache-2.0

package event

import (
	"strings"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Peek reads which room an event is of, which says how to read the rest of it. The create event of room version 12 has no room
// id: its own version says how to find it (T-08). ok is false for what tells neither.
func Peek(wire []byte) (id ident.RoomID, version *Version, ok bool) {
	w := borrow()
	defer w.giveBack()
	root := w.glance(wire)
	if text, ok := root.Get("room_id").Text(); ok {
		id, err := ident.ParseRoomID(strings.Clone(text))
		return id, nil, err == nil
	}
	name, _ := root.Get("content").Get("room_version").Text()
	version, known := VersionOf(name)
	return "", version, known && version.HashRoomID
}

// PeekID is the id that events of room versions 1 and 2 carry, "" if there is none: all that can be said about an event that
// cannot be parsed.
func PeekID(wire []byte) ident.EventID {
	w := borrow()
	defer w.giveBack()
	text, _ := w.glance(wire).Get("event_id").Text()
	id, err := ident.ParseEventID(strings.Clone(text))
	if err != nil {
		return ""
	}
	return id
}

// glance takes an event of whatever room version apart, where it is if it is canonical. What it gives goes with the workspace, text
// and all. Of what is no event it gives nothing.
func (w *workspace) glance(wire []byte) canonicaljson.Value {
	root, err := w.outline.Over(wire, canonicaljson.Lenient)
	if err != nil {
		root, _ = w.outline.Read(wire, canonicaljson.Lenient, "unsigned") // which must not matter (P-19)
	}
	return root
}
