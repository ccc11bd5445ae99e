// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"fmt"
	"unicode/utf8"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// The event types that have rules of their own.
const (
	typeAliases          = "m.room.aliases"
	typeCreate           = "m.room.create"
	typeJoinRules        = "m.room.join_rules"
	typeMember           = "m.room.member"
	typePowerLevels      = "m.room.power_levels"
	typeRedaction        = "m.room.redaction"
	typeThirdPartyInvite = "m.room.third_party_invite"
)

// The slots of state that are the same in every room.
var (
	createSlot    = event.StateKey{Type: typeCreate}
	powerSlot     = event.StateKey{Type: typePowerLevels}
	joinRulesSlot = event.StateKey{Type: typeJoinRules}
)

func memberSlot(user ident.UserID) event.StateKey {
	return event.StateKey{Type: typeMember, Key: string(user)}
}

// State is room state as the rules ask for it.
type State interface {
	// Event is the event in a slot, nil if the slot is empty. The slot of m.room.create is answered in every room version,
	// also where no event names the create event among its auth_events (version 12).
	Event(slot event.StateKey) *event.Event
}

// StateOf is the state made of these events; of two events for one slot the later counts. Events without a state key are
// left out.
func StateOf(events []*event.Event) State {
	state := make(stateMap, len(events))
	for _, e := range events {
		if slot, ok := e.Slot(); ok {
			state[slot] = e
		}
	}
	return state
}

type stateMap map[event.StateKey]*event.Event

func (s stateMap) Event(slot event.StateKey) *event.Event { return s[slot] }

// Result is the verdict of the rules.
type Result struct {
	OK     bool
	Rule   string // the rule that decided, by its id in the conformance list, as in "P-55"
	Detail string // one sentence; a refusal gives the values it rests on
}

// allow takes a fixed sentence: the verdict of nearly every event must cost nothing.
func allow(rule, detail string) Result { return Result{OK: true, Rule: rule, Detail: detail} }

func deny(rule, format string, args ...any) Result {
	return Result{Rule: rule, Detail: Shortened(fmt.Sprintf(format, args...))}
}

// maxDetail bounds the sentence of a refusal in bytes: it quotes what other servers wrote, and a state resolution holds one for each
// of its checks.
const maxDetail = 1_000

// Shortened is a detail as it is kept.
func Shortened(detail string) string {
	if len(detail) <= maxDetail {
		return detail
	}
	cut := maxDetail
	for cut > 0 && !utf8.RuneStart(detail[cut]) {
		cut--
	}
	return detail[:cut] + " …"
}

// Check applies the authorisation rules that depend on room state to e (rooms/vN, "Authorisation rules", without the rule
// about auth_events, which is CheckAuthEvents). The state is the one that e is judged at; it may hold more than e needs.
func Check(e *event.Event, state State) Result {
	if e.Type() == typeCreate {
		return checkCreate(e)
	}
	r, refusal := newRoom(e, state)
	if refusal != nil {
		return *refusal
	}
	if refusal := r.checkFederation(e); refusal != nil {
		return *refusal
	}
	switch {
	case e.Type() == typeAliases && e.Version().AliasesRule:
		return checkAliases(e)
	case e.Type() == typeMember:
		return r.checkMember(e)
	}
	if m := r.membership(e.Sender()); m != membershipJoin {
		return deny("P-51", "sender %s is not joined to the room: membership %s", e.Sender(), m)
	}
	if e.Type() == typeThirdPartyInvite {
		return r.checkThirdPartyInviteEvent(e)
	}
	if refusal := r.checkRequiredPower(e); refusal != nil {
		return *refusal
	}
	switch {
	case e.Type() == typePowerLevels:
		return r.checkPowerLevels(e)
	case e.Type() == typeRedaction && e.Version().RedactionAuthRule:
		return r.checkRedaction(e)
	}
	return allow("P-54", "the sender has the power that this type of event requires")
}

// room is the state that one event is judged at, with the slots that most rules ask for looked up once.
type room struct {
	state  State
	create *event.Event
	levels levels
}

// newRoom refuses a state that no event can be judged at: without a create event, or of another room than e.
func newRoom(e *event.Event, state State) (room, *Result) {
	create := state.Event(createSlot)
	if create == nil {
		return room{}, refuse("P-41", "there is no m.room.create event in the state")
	}
	if e.Version().HashRoomID && !namesRoom(create.ID(), e.RoomID()) {
		return room{}, refuse("R-24", "room id %s does not name the room's create event %s", e.RoomID(), create.ID())
	}
	levels, err := newLevels(create, state.Event(powerSlot))
	if err != nil {
		return room{}, refuse("P-55", "the power levels of the room cannot be read: %v", err)
	}
	return room{state: state, create: create, levels: levels}, nil
}

// refuse is deny for a step that decides only when it refuses.
func refuse(rule, format string, args ...any) *Result {
	result := deny(rule, format, args...)
	return &result
}

// namesRoom says whether the room id is the create event's id under the sigil of rooms (rooms/v12, "Room IDs").
func namesRoom(create ident.EventID, room ident.RoomID) bool {
	return len(create) > 1 && len(room) > 1 && room[0] == '!' && create[1:] == ident.EventID(room[1:])
}

// checkFederation keeps other servers out of a room that was created with m.federate false (P-42).
func (r *room) checkFederation(e *event.Event) *Result {
	ours, theirs := r.create.Sender().Server(), e.Sender().Server()
	if ours == theirs || federates(r.create) {
		return nil
	}
	return refuse("P-42", "the room is closed to other servers than %s, and the sender is of %s", ours, theirs)
}

// checkRequiredPower is the rules on the power that a type of event needs and on state keys that name a user.
func (r *room) checkRequiredPower(e *event.Event) *Result {
	key, isState := e.StateKey()
	required, power := r.levels.required(e.Type(), isState), r.levels.of(e.Sender())
	if power < required {
		return refuse("P-54", "%s requires power %s and sender %s has %s", e.Type(), required, e.Sender(), power)
	}
	if isState && len(key) > 0 && key[0] == '@' && key != string(e.Sender()) {
		return refuse("P-53", "state key %s is a user other than the sender %s", key, e.Sender())
	}
	return nil
}
