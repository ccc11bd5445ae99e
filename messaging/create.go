// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// DefaultRoomVersion is the version of rooms that are created without naming one.
const DefaultRoomVersion = "12"

// CreateRoom says what room to create. Creator is needed.
type CreateRoom struct {
	Creator ident.UserID // of this server
	Version string       // "1" to "12", "" for DefaultRoomVersion
	// AdditionalCreators have the creator's unlimited power in versions from 12 on; older versions have no such users.
	AdditionalCreators []ident.UserID
	Public             bool // everyone may join; else they must be invited
	LocalOnly          bool // no other server may ever take part (m.federate false)
	Name, Topic        string
	// State is further state, set after the join rules and before name and topic, in order.
	State []State
}

// State is one piece of room state. Content is anything that encoding/json makes an object of.
type State struct {
	Type, Key string
	Content   any
}

// CreateRoom creates a room with its creator in it, in the order that the client-server API gives (M-111): create, the creator's
// join, power levels, join rules, history visibility, the given state, name, topic.
func (s *Server) CreateRoom(ctx context.Context, room CreateRoom) (ident.RoomID, error) {
	founding, err := room.founding()
	if err != nil {
		return "", fmt.Errorf("create room: %w", err)
	}
	return s.FoundRoom(ctx, founding)
}

// Founding is a room given by its first events: what CreateRoom makes of its argument, and a homeserver of what a client asks for.
type Founding struct {
	Creator ident.UserID // of this server
	Version string       // as in CreateRoom
	// Content is that of the create event but for what the room version fills in: room_version, and creator up to version 10.
	Content any
	// First are the events that follow, in order, each by the creator. The creator's join is the first of them.
	First []pdu.Draft
}

// FoundRoom creates a room of exactly these events: all of them, or there is no room. A *pdu.NotAllowed says which the rules refuse.
func (s *Server) FoundRoom(ctx context.Context, f Founding) (id ident.RoomID, err error) {
	version, err := foundingVersion(f.Version)
	if err == nil {
		err = s.newcomer(f.Creator)
	}
	if err != nil {
		return "", fmt.Errorf("create room: %w", err)
	}
	content, err := encodeContent(f.Content)
	if err != nil {
		return "", fmt.Errorf("create room: %w", err)
	}
	drafts := slices.Clone(f.First)
	for i := range drafts {
		drafts[i].Sender = f.Creator
	}
	err = s.call(ctx, func(ctx context.Context) error {
		id, _, err = s.engine.CreateRoom(ctx, version.ID, f.Creator, content, drafts)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("create room: %w", err)
	}
	return id, nil
}

func foundingVersion(name string) (*event.Version, error) {
	version, known := event.VersionOf(cmp.Or(name, DefaultRoomVersion))
	if !known {
		return nil, fmt.Errorf("room version %q is not known", name)
	}
	return version, nil
}

// founding makes the content of the create event and the drafts of what follows.
func (room CreateRoom) founding() (Founding, error) {
	version, err := foundingVersion(room.Version)
	if err != nil {
		return Founding{}, err
	}
	f := Founding{Creator: room.Creator, Version: version.ID}
	if f.Content, err = room.createContent(version); err != nil {
		return Founding{}, err
	}
	for _, state := range room.states(version) {
		content, err := encodeContent(state.Content)
		if err != nil {
			return Founding{}, fmt.Errorf("%s: %w", state.Type, err)
		}
		f.First = append(f.First, pdu.Draft{Type: state.Type, StateKey: &state.Key, Content: content})
	}
	return f, nil
}

// createContent is the content of the create event but for what the engine fills in: room_version, and creator up to version 10.
func (room CreateRoom) createContent(version *event.Version) (map[string]any, error) {
	content := map[string]any{}
	if room.LocalOnly {
		content["m.federate"] = false
	}
	if len(room.AdditionalCreators) > 0 {
		if !version.PrivilegedCreators {
			return nil, fmt.Errorf("room version %s has no additional creators", version.ID)
		}
		var faults []error
		for _, user := range room.AdditionalCreators {
			_, err := ident.ParseUserID(string(user))
			faults = append(faults, err)
		}
		if err := errors.Join(faults...); err != nil {
			return nil, fmt.Errorf("additional creators: %w", err)
		}
		content["additional_creators"] = room.AdditionalCreators
	}
	return content, nil
}

// states is the room's first state in order.
func (room CreateRoom) states(version *event.Version) []State {
	rule := "invite"
	if room.Public {
		rule = "public"
	}
	first := []State{
		{Type: "m.room.member", Key: string(room.Creator), Content: map[string]string{"membership": "join"}},
		{Type: "m.room.power_levels", Content: DefaultPowerLevels(version, room.Creator)},
		{Type: "m.room.join_rules", Content: map[string]string{"join_rule": rule}},
		{Type: "m.room.history_visibility", Content: map[string]string{"history_visibility": "shared"}},
	}
	var last []State
	if room.Name != "" {
		last = append(last, State{Type: "m.room.name", Content: map[string]string{"name": room.Name}})
	}
	if room.Topic != "" {
		last = append(last, State{Type: "m.room.topic", Content: map[string]string{"topic": room.Topic}})
	}
	return slices.Concat(first, room.State, last)
}

// DefaultPowerLevels are those of a room in which the creator moderates, by member of the content. They are integers whatever the
// version would accept (P-36). Where creators have unlimited power anyway they must not be named, and only they may end the room (R-22,
//
func DefaultPowerLevels(version *event.Version, creator ident.UserID) map[string]any {
	const moderator, admin, creatorsOnly = 50, 100, 150
	users := map[ident.UserID]int{creator: admin}
	tombstone := admin
	if version.PrivilegedCreators {
		users = map[ident.UserID]int{}
		tombstone = creatorsOnly
	}
	return map[string]any{
		"users":          users,
		"users_default":  0,
		"events_default": 0,
		"state_default":  moderator,
		"invite":         moderator,
		"kick":           moderator,
		"ban":            moderator,
		"redact":         moderator,
		"events": map[string]int{
			"m.room.power_levels":       admin,
			"m.room.history_visibility": admin,
			"m.room.server_acl":         admin,
			"m.room.encryption":         admin,
			"m.room.tombstone":          tombstone,
		},
	}
}
