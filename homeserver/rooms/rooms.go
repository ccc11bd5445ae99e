// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"cmp"
	"context"
	"encoding/json"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Schema is the tables of this package, a step of the homeserver's annex.
const Schema = transactionsSchema + aliasesSchema + publishedSchema + reportsSchema + departuresSchema

// Config is what Rooms is made of.
type Config struct {
	Server *messaging.Server
	// DefaultVersion is the version of rooms for which none is named; "" for messaging.DefaultRoomVersion.
	DefaultVersion string
	// Profiles gives the names and pictures that memberships carry. Nil: they carry none.
	Profiles messaging.Profiles
	// View is the rooms as users see them.
	View *roomview.View
	// Known says whether there is a user of ours.
	Known func(*persistence.Tx, ident.UserID) (bool, error)
}

// Rooms answers clients about rooms. Its methods may be called from any goroutine; it owns nothing but the transaction ids under way.
type Rooms struct {
	defaultVersion string
	server         *messaging.Server
	engine         *pdu.Engine
	store          *persistence.Store
	profiles       messaging.Profiles
	known          func(*persistence.Tx, ident.UserID) (bool, error)
	rooms          *roomview.View
	running        running
	spaces         *spaces
}

// New makes the room endpoints of a server.
func New(cfg Config) *Rooms {
	return &Rooms{
		defaultVersion: cmp.Or(cfg.DefaultVersion, messaging.DefaultRoomVersion),
		server:         cfg.Server, engine: cfg.Server.Engine(), store: cfg.Server.Store(), profiles: cfg.Profiles, known: cfg.Known, rooms: cfg.View,
		running: running{ids: map[transaction]chan struct{}{}}, spaces: newSpaces(),
	}
}

// Routes is the endpoints of this package.
func (r *Rooms) Routes() []api.Route {
	const v1, v3 = "/_matrix/client/v1/", "/_matrix/client/v3/"
	return []api.Route{
		{Method: "POST", Pattern: v3 + "createRoom", Handle: r.createRoom},
		{Method: "GET", Pattern: v3 + "joined_rooms", Handle: r.joinedRooms},
		{Method: "POST", Pattern: v3 + "user_directory/search", Handle: r.searchUsers},
		{Method: "POST", Pattern: v3 + "join/{roomIDOrAlias}", Handle: r.join},
		{Method: "POST", Pattern: v3 + "rooms/{roomID}/join", Handle: r.join},
		{Method: "POST", Pattern: v3 + "knock/{roomIDOrAlias}", Handle: r.knock},
		{Method: "POST", Pattern: v3 + "rooms/{roomID}/leave", Handle: r.leave},
		{Method: "POST", Pattern: v3 + "rooms/{roomID}/invite", Handle: r.invite},
		{Method: "POST", Pattern: v3 + "rooms/{roomID}/kick", Handle: r.moderate(kick)},
		{Method: "POST", Pattern: v3 + "rooms/{roomID}/ban", Handle: r.moderate(ban)},
		{Method: "POST", Pattern: v3 + "rooms/{roomID}/unban", Handle: r.moderate(unban)},
		{Method: "POST", Pattern: v3 + "rooms/{roomID}/forget", Handle: r.forget},
		{Method: "GET", Pattern: v3 + "directory/room/{alias}", Open: true, Handle: r.getAlias},
		{Method: "PUT", Pattern: v3 + "directory/room/{alias}", Handle: r.putAlias},
		{Method: "DELETE", Pattern: v3 + "directory/room/{alias}", Handle: r.deleteAlias},
		{Method: "GET", Pattern: v3 + "directory/list/room/{roomID}", Open: true, Handle: r.getPublished},
		{Method: "PUT", Pattern: v3 + "directory/list/room/{roomID}", Handle: r.putPublished},
		{Method: "GET", Pattern: v3 + "publicRooms", Open: true, Handle: r.getPublicRooms},
		{Method: "POST", Pattern: v3 + "publicRooms", Handle: r.postPublicRooms},
		{Method: "POST", Pattern: v3 + "rooms/{roomID}/upgrade", Handle: r.upgrade},
		{Method: "GET", Pattern: v3 + "rooms/{roomID}/aliases", Handle: r.roomAliases},
		{Method: "GET", Pattern: v1 + "rooms/{roomID}/hierarchy", Handle: r.hierarchy},
		{Method: "GET", Pattern: v1 + "room_summary/{roomIDOrAlias}", Open: true, Handle: r.summary},
		{Method: "GET", Pattern: v3 + "rooms/{roomID}/messages", Handle: r.messages},
		{Method: "GET", Pattern: v3 + "rooms/{roomID}/initialSync", Handle: r.initialSync},
		{Method: "GET", Pattern: v3 + "rooms/{roomID}/event/{eventID}", Handle: r.getEvent},
		{Method: "GET", Pattern: v3 + "rooms/{roomID}/context/{eventID}", Handle: r.getContext},
		{Method: "GET", Pattern: v3 + "rooms/{roomID}/members", Handle: r.members},
		{Method: "GET", Pattern: v3 + "rooms/{roomID}/joined_members", Handle: r.joinedMembers},
		{Method: "GET", Pattern: v1 + "rooms/{roomID}/relations/{eventID}", Handle: r.relations},
		{Method: "GET", Pattern: v1 + "rooms/{roomID}/relations/{eventID}/{rel}", Handle: r.relations},
		{Method: "GET", Pattern: v1 + "rooms/{roomID}/relations/{eventID}/{rel}/{type}", Handle: r.relations},
		{Method: "GET", Pattern: v1 + "rooms/{roomID}/threads", Handle: r.threads},
		{Method: "POST", Pattern: v3 + "rooms/{roomID}/report", Handle: r.reportRoom},
		{Method: "POST", Pattern: v3 + "rooms/{roomID}/report/{eventID}", Handle: r.reportEvent},
		{Method: "GET", Pattern: v1 + "rooms/{roomID}/timestamp_to_event", Handle: r.near},
		{Method: "PUT", Pattern: v3 + "rooms/{roomID}/send/{type}/{txnID}", Handle: r.send},
		{Method: "PUT", Pattern: v3 + "rooms/{roomID}/redact/{eventID}/{txnID}", Handle: r.redact},
		{Method: "PUT", Pattern: v3 + "rooms/{roomID}/state/{type}", Handle: r.putState},
		{Method: "PUT", Pattern: v3 + "rooms/{roomID}/state/{type}/{$}", Handle: r.putState},
		{Method: "PUT", Pattern: v3 + "rooms/{roomID}/state/{type}/{key}", Handle: r.putState},
		{Method: "GET", Pattern: v3 + "rooms/{roomID}/state", Handle: r.allState},
		{Method: "GET", Pattern: v3 + "rooms/{roomID}/state/{type}", Handle: r.oneState},
		{Method: "GET", Pattern: v3 + "rooms/{roomID}/state/{type}/{$}", Handle: r.oneState},
		{Method: "GET", Pattern: v3 + "rooms/{roomID}/state/{type}/{key}", Handle: r.oneState},
	}
}

// roomOf is the room in a request's path.
func roomOf(q *api.Request) (ident.RoomID, error) {
	room, err := ident.ParseRoomID(q.Param("roomID"))
	if err != nil {
		return "", api.InvalidParam("room id: %v", err)
	}
	return room, nil
}

// eventOf is the event in a request's path.
func eventOf(q *api.Request) (ident.EventID, error) {
	id, err := ident.ParseEventID(q.Param("eventID"))
	if err != nil {
		return "", api.InvalidParam("event id: %v", err)
	}
	return id, nil
}

// memberContent is the content of a membership event of a user of ours, with the name and picture of their profile.
func (r *Rooms) memberContent(ctx context.Context, user ident.UserID, membership, reason string) (map[string]any, error) {
	content := map[string]any{"membership": membership}
	if reason != "" {
		content["reason"] = reason
	}
	if r.profiles == nil || user.Server() != r.server.Name() {
		return content, nil
	}
	fields, _, err := r.profiles.Profile(ctx, user)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"displayname", "avatar_url"} {
		var text string
		if json.Unmarshal(fields[name], &text) == nil && text != "" {
			content[name] = text
		}
	}
	return content, nil
}
