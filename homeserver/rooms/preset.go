// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// preset is what the name of a preset stands for (YC/create_room, "preset").
type preset struct {
	joinRule string
	guests   bool // can join
	// Every member may invite where only those who are invited can join: that is what clients count on of private rooms, though the
	// specification leaves it open.
	membersInvite bool
	trusting      bool // who is invited has the creator's power
}

var presets = map[string]preset{
	"private_chat":         {joinRule: "invite", guests: true, membersInvite: true},
	"trusted_private_chat": {joinRule: "invite", guests: true, membersInvite: true, trusting: true},
	"public_chat":          {joinRule: "public"},
}

// wanted is the body of a createRoom.
type wanted struct {
	Visibility      string                     `json:"visibility"`
	AliasName       string                     `json:"room_alias_name"`
	Name            string                     `json:"name"`
	Topic           string                     `json:"topic"`
	Invite          []string                   `json:"invite"`
	InviteThirdly   []json.RawMessage          `json:"invite_3pid"`
	RoomVersion     *string                    `json:"room_version"`
	CreationContent map[string]json.RawMessage `json:"creation_content"`
	InitialState    []initialState             `json:"initial_state"`
	Preset          string                     `json:"preset"`
	IsDirect        bool                       `json:"is_direct"`
	PowerLevels     map[string]json.RawMessage `json:"power_level_content_override"`
}

type initialState struct {
	Type    string          `json:"type"`
	Key     string          `json:"state_key"`
	Content json.RawMessage `json:"content"`
}

// plan is a room to be made: its first state in order, after the creator's join (M-111).
type plan struct {
	version  *event.Version
	creation map[string]any
	states   []messaging.State
	invites  []ident.UserID
}

// planRoom makes the plan of what is wanted. alias is "" for none.
func planRoom(w wanted, version *event.Version, creator ident.UserID, invites []ident.UserID, alias ident.RoomAlias) (plan, error) {
	chosen, err := w.preset()
	if err != nil {
		return plan{}, err
	}
	p := plan{version: version, creation: map[string]any{}, invites: invites}
	for name, value := range w.CreationContent {
		p.creation[name] = value
	}
	if chosen.trusting && version.PrivilegedCreators {
		if p.creation["additional_creators"], err = addCreators(w.CreationContent["additional_creators"], invites); err != nil {
			return plan{}, err
		}
	}
	levels, err := w.powerLevels(chosen, version, creator, invites)
	if err != nil {
		return plan{}, err
	}
	p.add(w, "m.room.power_levels", levels)
	if alias != "" {
		p.add(w, "m.room.canonical_alias", map[string]any{"alias": alias})
	}
	p.add(w, "m.room.join_rules", map[string]any{"join_rule": chosen.joinRule})
	p.add(w, "m.room.history_visibility", map[string]any{"history_visibility": "shared"})
	if chosen.guests { // without the event they are not let in
		p.add(w, "m.room.guest_access", map[string]any{"guest_access": "can_join"})
	}
	for _, s := range w.InitialState {
		p.states = append(p.states, messaging.State{Type: s.Type, Key: s.Key, Content: s.Content})
	}
	if w.Name != "" {
		p.states = append(p.states, messaging.State{Type: "m.room.name", Content: map[string]any{"name": w.Name}})
	}
	if w.Topic != "" {
		p.states = append(p.states, messaging.State{Type: "m.room.topic", Content: topicContent(w.Topic)})
	}
	return p, nil
}

// topicContent says the topic once more as extensible text (mod/instant_messaging, "m.room.topic").
func topicContent(topic string) map[string]any {
	return map[string]any{
		"topic": topic, "m.topic": map[string]any{"m.text": []map[string]string{{"body": topic}}},
	}
}

// add plans what the preset says, unless initial_state says otherwise: that takes precedence.
func (p *plan) add(w wanted, kind string, content map[string]any) {
	overridden := slices.ContainsFunc(w.InitialState, func(s initialState) bool { return s.Type == kind && s.Key == "" })
	if !overridden {
		p.states = append(p.states, messaging.State{Type: kind, Content: content})
	}
}

// preset is the preset that is named, or that the visibility stands for.
func (w wanted) preset() (preset, error) {
	name := w.Preset
	switch {
	case name != "":
	case w.Visibility == "public":
		name = "public_chat"
	default:
		name = "private_chat"
	}
	chosen, known := presets[name]
	if !known {
		return preset{}, fmt.Errorf("preset %.40q is not known", name)
	}
	return chosen, nil
}

// powerLevels are the default ones, those of the preset, and member by member what the client wants otherwise.
func (w wanted) powerLevels(chosen preset, version *event.Version, creator ident.UserID, invites []ident.UserID) (map[string]any, error) {
	levels := messaging.DefaultPowerLevels(version, creator)
	if chosen.membersInvite {
		levels["invite"] = 0
	}
	if chosen.trusting && !version.PrivilegedCreators {
		users := map[ident.UserID]int{creator: 100}
		for _, user := range invites {
			users[user] = 100
		}
		levels["users"] = users
	}
	for name, value := range w.PowerLevels {
		levels[name] = value
	}
	return levels, nil
}

// addCreators adds users to the additional creators that a client names.
func addCreators(named json.RawMessage, users []ident.UserID) ([]ident.UserID, error) {
	var creators []ident.UserID
	if named != nil {
		if err := json.Unmarshal(named, &creators); err != nil {
			return nil, fmt.Errorf("additional_creators is no list of user ids")
		}
	}
	for _, user := range users {
		if !slices.Contains(creators, user) {
			creators = append(creators, user)
		}
	}
	return creators, nil
}
