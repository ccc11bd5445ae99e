// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"encoding/json"
	"slices"

	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// left tells of a room that the user is out of, as it was when they went (S-16). Who was never in sees the end of that only.
func (x *composition) left(m roomview.Membership, data []json.RawMessage) error {
	out := &leftRoom{AccountData: some(data)}
	x.rooms.Leave[m.Room] = out
	if len(m.Outside) > 0 {
		events, err := x.outsideEvents(m)
		out.Timeline = &timeline{Events: events, PrevBatch: stream.Token(m.Position)}
		x.complete(&out.Timeline, &out.states)
		return err
	}
	wasIn, err := x.wasIn(m)
	if err != nil {
		return err
	}
	p, err := x.part(m, x.initial || wasIn && x.then[m.Room] != "join", m.Position)
	if err != nil {
		return err
	}
	if out.Timeline, err = p.timeline(false); err != nil {
		return err
	}
	if wasIn {
		out.states, err = p.states()
	}
	x.complete(&out.Timeline, &out.states)
	return err
}

// wasIn says whether a user who is out of a room was in it after since.
func (x *composition) wasIn(m roomview.Membership) (bool, error) {
	if x.then[m.Room] == "join" {
		return true, nil
	}
	stays, err := x.c.view.Stays(x.ctx, x.user, m.Room)
	return slices.ContainsFunc(stays, func(s roomview.Membership) bool {
		return s.Membership == "join" && s.Position <= m.Position && (x.initial || s.Position > x.since)
	}), err
}

// outsideEvents is what is kept of a room that this server is not in.
func (x *composition) outsideEvents(m roomview.Membership) (events []json.RawMessage, err error) {
	err = json.Unmarshal(m.Outside, &events)
	if events == nil {
		events = []json.RawMessage{}
	}
	return events, err
}

// shown is the types of state that whoever is invited or knocks is shown (CS "Stripped state").
var shown = []string{
	"m.room.create", "m.room.join_rules", "m.room.canonical_alias", "m.room.avatar", "m.room.name", "m.room.topic", "m.room.encryption",
}

// outside tells of an invitation or a knock (S-15).
func (x *composition) outside(m roomview.Membership) error {
	var events []json.RawMessage
	var sender ident.UserID
	var err error
	if len(m.Outside) > 0 {
		if events, err = x.outsideEvents(m); err == nil && len(events) > 0 {
			sender = senderOf(events[len(events)-1])
		}
	} else {
		events, sender, err = x.stripped(m)
	}
	if err != nil {
		return err
	}
	if m.Membership == "knock" {
		x.rooms.Knock[m.Room] = &knockedRoom{list{events}}
	} else if !x.ignored[sender] { // S-29
		x.rooms.Invite[m.Room] = &invitedRoom{list{events}}
	}
	return nil
}

func senderOf(text json.RawMessage) ident.UserID {
	var e struct {
		Sender ident.UserID `json:"sender"`
	}
	_ = json.Unmarshal(text, &e) // of what is none nobody is the sender
	return e.Sender
}

// stripped is what a room that we are in shows whoever is invited, last of all the member event, and who sent that.
func (x *composition) stripped(m roomview.Membership) (events []json.RawMessage, sender ident.UserID, err error) {
	nid, err := x.c.view.Number(x.ctx, m.Room)
	if err != nil {
		return nil, "", err
	}
	root, err := x.c.view.StateAsOf(x.ctx, nid, m.Position)
	if err != nil {
		return nil, "", err
	}
	slots := make([]event.StateKey, 0, len(shown)+1)
	for _, typ := range shown {
		slots = append(slots, event.StateKey{Type: typ})
	}
	slots = append(slots, event.StateKey{Type: memberType, Key: string(x.user)})
	for _, slot := range slots {
		e, err := x.slot(root, slot)
		if err != nil {
			return nil, "", err
		}
		if e != nil {
			events, sender = append(events, strip(e)), e.Sender()
		}
	}
	return events, sender, nil
}

func (x *composition) slot(root state.Root, slot event.StateKey) (*event.Event, error) {
	return x.c.view.Slot(x.ctx, root, slot)
}

// strip is a state event with four members and no more.
func strip(e *event.Event) json.RawMessage {
	key, _ := e.StateKey()
	text := append([]byte(`{"content":`), e.Content().Canonical()...)
	text = canonicaljson.AppendString(append(text, `,"sender":`...), string(e.Sender()))
	text = canonicaljson.AppendString(append(text, `,"state_key":`...), key)
	text = canonicaljson.AppendString(append(text, `,"type":`...), e.Type())
	return append(text, '}')
}
