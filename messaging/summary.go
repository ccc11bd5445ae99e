// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"fmt"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// RoomSummary is what a room shows of itself in directories and spaces (client-server API, "PublishedRoomsChunk" and "RoomSummary").
// Texts are "" where the room has none.
type RoomSummary struct {
	Room           ident.RoomID   `json:"room_id"`
	Name           string         `json:"name,omitempty"`
	Topic          string         `json:"topic,omitempty"`
	AvatarURL      string         `json:"avatar_url,omitempty"`
	CanonicalAlias string         `json:"canonical_alias,omitempty"`
	Members        int            `json:"num_joined_members"`
	WorldReadable  bool           `json:"world_readable"`
	GuestCanJoin   bool           `json:"guest_can_join"`
	JoinRule       string         `json:"join_rule,omitempty"`
	RoomType       string         `json:"room_type,omitempty"`
	AllowedRooms   []ident.RoomID `json:"allowed_room_ids,omitempty"` // whose members may join, of a restricted room
	Encryption     string         `json:"encryption,omitempty"`       // the algorithm
	Version        string         `json:"room_version,omitempty"`
}

// Summary is what a room that this server is in shows of itself now.
func (s *Server) Summary(ctx context.Context, room ident.RoomID) (RoomSummary, error) {
	info, err := s.engine.Room(ctx, room)
	if err == nil && info.Membership != pdu.Joined {
		err = pdu.ErrNotJoined
	}
	if err != nil {
		return RoomSummary{}, fmt.Errorf("summary of %s: %w", room, err)
	}
	summary, err := s.summaryOf(ctx, info)
	if err != nil {
		return RoomSummary{}, fmt.Errorf("summary of %s: %w", room, err)
	}
	return summary, nil
}

func (s *Server) summaryOf(ctx context.Context, info pdu.RoomInfo) (RoomSummary, error) {
	r := RoomSummary{Room: info.ID, Members: info.Members, JoinRule: "invite", Version: info.Version.ID}
	for _, part := range []struct {
		eventType string
		take      func(content canonicaljson.Value)
	}{
		{"m.room.name", func(c canonicaljson.Value) { r.Name, _ = c.Get("name").Text() }},
		{"m.room.topic", func(c canonicaljson.Value) { r.Topic = topicOf(c) }},
		{"m.room.avatar", func(c canonicaljson.Value) { r.AvatarURL, _ = c.Get("url").Text() }},
		{"m.room.canonical_alias", func(c canonicaljson.Value) { r.CanonicalAlias, _ = c.Get("alias").Text() }},
		{"m.room.history_visibility", func(c canonicaljson.Value) { r.WorldReadable = c.Get("history_visibility").IsText("world_readable") }},
		{"m.room.guest_access", func(c canonicaljson.Value) { r.GuestCanJoin = c.Get("guest_access").IsText("can_join") }},
		{"m.room.create", func(c canonicaljson.Value) { r.RoomType, _ = c.Get("type").Text() }},
		{"m.room.encryption", func(c canonicaljson.Value) { r.Encryption, _ = c.Get("algorithm").Text() }},
		{"m.room.join_rules", func(c canonicaljson.Value) {
			if rule, ok := c.Get("join_rule").Text(); ok {
				r.JoinRule = rule
			}
			if r.JoinRule == "restricted" || r.JoinRule == "knock_restricted" {
				r.AllowedRooms = allowedRooms(c.Get("allow"))
			}
		}},
	} {
		found, err := s.engine.StateEvent(ctx, info.ID, event.StateKey{Type: part.eventType})
		if err != nil {
			return RoomSummary{}, err
		}
		if found != nil {
			part.take(found.Content())
		}
	}
	return r, nil
}

// topicOf is the plain text of a topic: that in m.topic, else the one that older clients set.
func topicOf(content canonicaljson.Value) string {
	for part := range content.Get("m.topic").Get("m.text").Elements() {
		if kind := part.Get("mimetype"); kind.Kind() == canonicaljson.Invalid || kind.IsText("text/plain") {
			if text, ok := part.Get("body").Text(); ok {
				return text
			}
		}
	}
	text, _ := content.Get("topic").Text()
	return text
}

// parseSummary reads what another server says that a room shows of itself. What a text says is for people to judge; one that is of
// another type is as good as not there.
func parseSummary(v canonicaljson.Value) (r RoomSummary, err error) {
	id, _ := v.Get("room_id").Text()
	if r.Room, err = ident.ParseRoomID(id); err != nil {
		return RoomSummary{}, malformed("%v", err)
	}
	members, ok := v.Get("num_joined_members").Int()
	if !ok || members < 0 {
		return RoomSummary{}, malformed("num_joined_members of %s is not a number of members", r.Room)
	}
	r.Members = int(members)
	for name, into := range map[string]*string{
		"name": &r.Name, "topic": &r.Topic, "avatar_url": &r.AvatarURL, "canonical_alias": &r.CanonicalAlias,
		"join_rule": &r.JoinRule, "room_type": &r.RoomType, "encryption": &r.Encryption, "room_version": &r.Version,
	} {
		*into, _ = v.Get(name).Text()
	}
	r.WorldReadable, _ = v.Get("world_readable").Bool()
	r.GuestCanJoin, _ = v.Get("guest_can_join").Bool()
	for entry := range v.Get("allowed_room_ids").Elements() {
		text, _ := entry.Text()
		if room, err := ident.ParseRoomID(text); err == nil && len(r.AllowedRooms) < maxAllow {
			r.AllowedRooms = append(r.AllowedRooms, room)
		}
	}
	return r, nil
}
