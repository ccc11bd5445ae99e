// SPDX-License-Identifier: Apache-2.0

package auth

import "github.com/strata-matrix/strata/pdu/event"

// checkRedaction is the rule of room versions 1 and 2: redact what is of your own server, or have the redact level (P-57).
func (r *room) checkRedaction(e *event.Event) Result {
	power, level := r.levels.of(e.Sender()), r.levels.redact()
	if power >= level {
		return allow("P-57", "the sender has the redact level")
	}
	target, _ := e.Redacts()
	ours, _ := e.ID().Server()
	theirs, ok := target.Server()
	if ok && ours == theirs {
		return allow("P-57", "the redacted event is of the redaction's own server")
	}
	return deny("P-57", "sender %s has power %s, the redact level is %s, and %q is not of server %s",
		e.Sender(), power, level, target, ours)
}

// MayRedact says whether an accepted redaction takes effect on the event it names, at the state that the redaction was
// accepted with (rooms/v3, "Handling redactions"; P-60, P-61, P-64). The caller holds it back until it knows both. A redaction
// that has been redacted itself may name nothing any more: the caller knows what it named before.
func MayRedact(redaction, target *event.Event, state State) Result {
	if redaction.RoomID() != target.RoomID() {
		return deny("P-64", "the redaction is of room %s and its target of room %s", redaction.RoomID(), target.RoomID())
	}
	if id, ok := redaction.Redacts(); ok && id != target.ID() {
		return deny("P-60", "the redaction names %s, not %s", id, target.ID())
	}
	if redaction.Sender().Server() == target.Sender().Server() {
		return allow("P-60", "redaction and target are sent from the same server")
	}
	r, refusal := newRoom(redaction, state)
	if refusal != nil {
		return *refusal
	}
	if power, level := r.levels.of(redaction.Sender()), r.levels.redact(); power < level {
		return deny("P-60", "sender %s has power %s, the redact level is %s, and the target is of another server",
			redaction.Sender(), power, level)
	}
	return allow("P-61", "the sender has the redact level")
}
