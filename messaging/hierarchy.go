// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

const spaceChildType = "m.space.child"

// SpaceType is the type of rooms that are spaces. Other rooms have no rooms in them, whatever m.space.child events they hold (E-26).
const SpaceType = "m.space"

// Hierarchy is a space and its rooms as one server shows them to another (E-26, M-72). What neither is in Children nor Inaccessible is
// not known to the server that answered; another may know more.
type Hierarchy struct {
	Room         SpaceRoom      `json:"room"`
	Children     []RoomSummary  `json:"children"`
	Inaccessible []ident.RoomID `json:"inaccessible_children"` // which the server that asked can neither read nor join
}

// SpaceRoom is a space: a room, and which rooms it says are in it.
type SpaceRoom struct {
	RoomSummary
	ChildrenState []SpaceChild `json:"children_state"`
}

// SpaceChild is an m.space.child event: its state key is the room that is in the space.
type SpaceChild struct {
	Type           string          `json:"type"`
	StateKey       ident.RoomID    `json:"state_key"`
	Sender         ident.UserID    `json:"sender"`
	OriginServerTS int64           `json:"origin_server_ts"`
	Content        json.RawMessage `json:"content"`
}

// serveHierarchy shows a space, with those of its rooms that the other server could read or join.
func (s *Server) serveHierarchy(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	room, err := ident.ParseRoomID(r.Params["roomID"])
	if err != nil {
		return transport.Reply{}, invalidParam("room id: %v", err)
	}
	shown, err := s.showTo(ctx, room, r.Origin)
	if err != nil {
		return transport.Reply{}, err
	}
	if shown == nil || !shown.accessible {
		return transport.Reply{}, notFound("there is no such room, or none for you")
	}
	children := []SpaceChild{}
	if shown.RoomType == SpaceType {
		children, err = s.spaceChildren(ctx, room, r.Query.Get("suggested_only") == "true")
	}
	if err != nil {
		return transport.Reply{}, err
	}
	h := Hierarchy{
		Room:     SpaceRoom{RoomSummary: shown.RoomSummary, ChildrenState: children},
		Children: []RoomSummary{}, Inaccessible: []ident.RoomID{},
	}
	for _, child := range children {
		shown, err := s.showTo(ctx, child.StateKey, r.Origin)
		switch {
		case err != nil:
			return transport.Reply{}, err
		case shown == nil:
		case shown.accessible:
			h.Children = append(h.Children, shown.RoomSummary)
		default:
			h.Inaccessible = append(h.Inaccessible, child.StateKey)
		}
	}
	return transport.JSON(h)
}

// shownRoom is a room as another server may see it.
type shownRoom struct {
	RoomSummary
	accessible bool
}

// showTo is a room as a server may see it, nil for one of which we know nothing: we are not in it, or do not know all of it.
func (s *Server) showTo(ctx context.Context, room ident.RoomID, server ident.ServerName) (*shownRoom, error) {
	info, err := s.engine.Room(ctx, room)
	if errors.Is(err, pdu.ErrUnknownRoom) || err == nil && (info.Membership != pdu.Joined || info.Partial) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	shown := &shownRoom{}
	if shown.RoomSummary, err = s.summaryOf(ctx, info); err != nil {
		return nil, err
	}
	shown.accessible, err = s.accessible(ctx, shown.RoomSummary, server)
	return shown, err
}

// accessible says whether users of a server could read or join a room (M-72): it is readable for all, lets in or be asked by whoever
// comes, lets the members of a room in that the server is in, or the server is in it. Invitations of single users are not looked at.
func (s *Server) accessible(ctx context.Context, room RoomSummary, server ident.ServerName) (bool, error) {
	if refused := s.engine.CheckAccess(ctx, room.Room, server); refused != nil {
		if _, denied := errors.AsType[*transport.Error](refused); denied {
			return false, nil
		}
		return false, refused
	}
	if room.WorldReadable || slices.Contains([]string{"public", "knock", "knock_restricted"}, room.JoinRule) {
		return true, nil
	}
	for _, id := range append([]ident.RoomID{room.Room}, room.AllowedRooms...) {
		in, err := s.engine.Houses(ctx, id, server)
		if in || err != nil && !errors.Is(err, pdu.ErrUnknownRoom) {
			return in, err
		}
	}
	return false, nil
}

// SpaceChildren are the rooms that a space which this server knows says are in it, in the order of their ids; those only that it suggests,
// if suggested. ErrUnknownRoom of package pdu.
func (s *Server) SpaceChildren(ctx context.Context, space ident.RoomID, suggested bool) ([]SpaceChild, error) {
	children, err := s.spaceChildren(ctx, space, suggested)
	if err != nil {
		return nil, fmt.Errorf("rooms of space %s: %w", space, err)
	}
	return children, nil
}

// spaceChildren are the rooms that a space says are in it, in the order of their ids. Who names no server over which to get there has
// taken the room out.
func (s *Server) spaceChildren(ctx context.Context, room ident.RoomID, suggested bool) ([]SpaceChild, error) {
	events, err := s.engine.StateOfType(ctx, room, spaceChildType)
	if err != nil {
		return nil, err
	}
	children := []SpaceChild{}
	for _, e := range events {
		if child, ok := childOf(e); ok && (!suggested || isSuggested(e.Content())) {
			children = append(children, child)
		}
	}
	slices.SortFunc(children, func(x, y SpaceChild) int { return strings.Compare(string(x.StateKey), string(y.StateKey)) })
	return children[:min(len(children), maxSpaceChildren)], nil
}

func childOf(e *event.Event) (SpaceChild, bool) {
	key, _ := e.StateKey()
	room, err := ident.ParseRoomID(key)
	if err != nil || !hasVia(e.Content()) {
		return SpaceChild{}, false
	}
	return SpaceChild{
		Type: spaceChildType, StateKey: room, Sender: e.Sender(), OriginServerTS: e.OriginServerTS(),
		Content: json.RawMessage(e.Content().Canonical()),
	}, true
}

// hasVia says whether the content of an m.space.child names servers; without it says that the room is not in the space.
func hasVia(content canonicaljson.Value) bool {
	via := content.Get("via")
	return via.Kind() == canonicaljson.Array && via.Len() > 0
}

func isSuggested(content canonicaljson.Value) bool {
	suggested, _ := content.Get("suggested").Bool()
	return suggested
}

// Hierarchy asks the servers in via, in turn until one answers, for a space and the rooms in it that users of this server could read or
// join (E-26). What is not among the space's own events is left out.
func (s *Server) Hierarchy(ctx context.Context, room ident.RoomID, via []ident.ServerName, suggested bool) (Hierarchy, error) {
	var failures []error
	for _, server := range via[:min(len(via), maxCandidates)] {
		if server == s.self {
			continue
		}
		var h Hierarchy
		err := s.askOther(ctx, server, func(ctx context.Context) (err error) {
			h, err = s.askHierarchy(ctx, room, server, suggested)
			return err
		})
		if err == nil {
			return h, nil
		}
		failures = append(failures, fmt.Errorf("over %s: %w", server, err))
		if ctx.Err() != nil {
			break
		}
	}
	if len(failures) == 0 {
		failures = []error{ErrNoServer}
	}
	return Hierarchy{}, fmt.Errorf("hierarchy of %s: %w", room, errors.Join(failures...))
}

func (s *Server) askHierarchy(ctx context.Context, room ident.RoomID, server ident.ServerName, suggested bool) (Hierarchy, error) {
	call := transport.Call{
		Method: http.MethodGet, Path: transport.Path("_matrix", "federation", "v1", "hierarchy", string(room)),
		MaxReply: maxListReply, Timeout: queryTimeout,
	}
	if suggested {
		call.Query = url.Values{"suggested_only": {"true"}}
	}
	answer, err := s.asked.Do(ctx, server, call)
	if err != nil {
		return Hierarchy{}, err
	}
	return parseHierarchy(answer.Body, room)
}

func parseHierarchy(body []byte, room ident.RoomID) (Hierarchy, error) {
	v, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	if err != nil {
		return Hierarchy{}, err
	}
	h := Hierarchy{Children: []RoomSummary{}, Inaccessible: []ident.RoomID{}}
	if h.Room.RoomSummary, err = parseSummary(v.Get("room")); err != nil {
		return Hierarchy{}, err
	}
	if h.Room.Room != room {
		return Hierarchy{}, malformed("it is about another room, %s", h.Room.Room)
	}
	h.Room.ChildrenState = []SpaceChild{}
	if h.Room.RoomType != SpaceType {
		return h, nil
	}
	named := map[ident.RoomID]bool{}
	for entry := range v.Get("room").Get("children_state").Elements() {
		if child, ok := parseChild(entry); ok && !named[child.StateKey] && len(named) < maxSpaceChildren {
			named[child.StateKey] = true
			h.Room.ChildrenState = append(h.Room.ChildrenState, child)
		}
	}
	for entry := range v.Get("children").Elements() {
		if child, err := parseSummary(entry); err == nil && named[child.Room] {
			named[child.Room] = false // once
			h.Children = append(h.Children, child)
		}
	}
	for entry := range v.Get("inaccessible_children").Elements() {
		text, _ := entry.Text()
		if id := ident.RoomID(text); named[id] {
			named[id] = false
			h.Inaccessible = append(h.Inaccessible, id)
		}
	}
	return h, nil
}

// parseChild reads a stripped event with its time.
func parseChild(v canonicaljson.Value) (SpaceChild, bool) {
	key, _ := v.Get("state_key").Text()
	room, roomErr := ident.ParseRoomID(key)
	text, _ := v.Get("sender").Text()
	sender, senderErr := ident.ParseUserID(text)
	ts, ok := v.Get("origin_server_ts").Int()
	content := v.Get("content")
	if roomErr != nil || senderErr != nil || !ok || !v.Get("type").IsText(spaceChildType) || !hasVia(content) {
		return SpaceChild{}, false
	}
	return SpaceChild{Type: spaceChildType, StateKey: room, Sender: sender, OriginServerTS: ts, Content: objectOf(content)}, true
}
