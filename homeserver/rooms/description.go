// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"strings"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/visibility"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Description is what a room is to those who look for one (YC/public_rooms, "PublishedRoomsChunk"; YC/space_hierarchy and YC/room_summary
// have the same and more).
type Description struct {
	Room          ident.RoomID `json:"room_id"`
	Alias         string       `json:"canonical_alias,omitempty"`
	Avatar        string       `json:"avatar_url,omitempty"`
	GuestCanJoin  bool         `json:"guest_can_join"`
	JoinRule      string       `json:"join_rule,omitempty"`
	Name          string       `json:"name,omitempty"`
	Joined        int          `json:"num_joined_members"`
	Type          string       `json:"room_type,omitempty"`
	Topic         string       `json:"topic,omitempty"`
	WorldReadable bool         `json:"world_readable"`
}

// details is what some are told beside it.
type details struct {
	Description
	Encryption string         `json:"encryption,omitempty"`
	Version    string         `json:"room_version,omitempty"`
	Allowed    []ident.RoomID `json:"allowed_room_ids,omitempty"`
}

// describe reads the description of a room from its current state. What is of another type than it should be is not there.
func (r *Rooms) describe(ctx context.Context, room ident.RoomID) (d details, err error) {
	d.Room = room
	info, err := r.engine.Room(ctx, room)
	if err != nil {
		return details{}, err
	}
	d.Version = info.Version.ID
	for kind, note := range map[string]func(*event.Event){
		"m.room.create":       func(e *event.Event) { d.Type = textIn(e, "type") },
		canonicalType:         func(e *event.Event) { d.Alias = textIn(e, "alias") },
		"m.room.avatar":       func(e *event.Event) { d.Avatar = textIn(e, "url") },
		"m.room.name":         func(e *event.Event) { d.Name = textIn(e, "name") },
		"m.room.topic":        func(e *event.Event) { d.Topic = textIn(e, "topic") },
		"m.room.encryption":   func(e *event.Event) { d.Encryption = textIn(e, "algorithm") },
		"m.room.guest_access": func(e *event.Event) { d.GuestCanJoin = textIn(e, "guest_access") == "can_join" },
		"m.room.join_rules":   func(e *event.Event) { d.JoinRule, d.Allowed = textIn(e, "join_rule"), allowedBy(e) },
		visibility.Slot.Type: func(e *event.Event) {
			d.WorldReadable = visibility.SettingOf(e) == visibility.WorldReadable
		},
	} {
		e, err := r.slot(ctx, room, kind, "")
		if err != nil {
			return details{}, err
		}
		if e != nil {
			note(e)
		}
	}
	d.Joined, err = r.countJoined(ctx, room)
	return d, err
}

// textIn is a text of an event's content, "" for none.
func textIn(e *event.Event, member string) string {
	text, _ := e.Content().Get(member).Text()
	return text
}

// allowedBy is the rooms whose members may join a restricted room.
func allowedBy(e *event.Event) (allowed []ident.RoomID) {
	if rule := textIn(e, "join_rule"); rule != "restricted" && rule != "knock_restricted" {
		return nil
	}
	for condition := range e.Content().Get("allow").Elements() {
		text, _ := condition.Get("room_id").Text()
		if room, err := ident.ParseRoomID(text); err == nil && condition.Get("type").IsText("m.room_membership") && len(allowed) < maxAllowed {
			allowed = append(allowed, room)
		}
	}
	return allowed
}

// countJoined is how many are joined to a room by its current state.
func (r *Rooms) countJoined(ctx context.Context, room ident.RoomID) (joined int, err error) {
	err = r.store.View(ctx, func(tx *persistence.Tx) error {
		row, _, err := tx.Room(room)
		if err != nil {
			return err
		}
		servers, err := tx.RoomServers(row.NID)
		for _, n := range servers {
			joined += n
		}
		return err
	})
	return joined, err
}

// matches says whether a text that somebody looks for is in what a room is called.
func (d Description) matches(text string) bool {
	text = strings.ToLower(text)
	for _, called := range []string{d.Name, d.Topic, d.Alias} {
		if strings.Contains(strings.ToLower(called), text) {
			return true
		}
	}
	return false
}
