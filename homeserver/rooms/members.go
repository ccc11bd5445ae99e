// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// members is GET /rooms/{roomId}/members: of now, of the time that the query names, or of when the user left.
func (r *Rooms) members(ctx context.Context, q *api.Request) (api.Reply, error) {
	x, err := r.read(ctx, q)
	if err != nil {
		return api.Reply{}, err
	}
	events, err := x.memberEvents(ctx, q.Query.Get("at"))
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	wanted, unwanted := q.Query.Get("membership"), q.Query.Get("not_membership")
	var ids []ident.EventID
	for _, e := range events {
		if m := membershipOf(e); (wanted == "" || m == wanted) && (unwanted == "" || m != unwanted) {
			ids = append(ids, e.ID())
		}
	}
	slices.Sort(ids)
	chunk, err := x.states(ctx, ids)
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string][]json.RawMessage{"chunk": chunk})
}

// memberEvents is the member events of the state that the user may look at.
func (x *reading) memberEvents(ctx context.Context, at string) (members []*event.Event, err error) {
	if x.view.left != nil {
		all, err := x.view.all(ctx)
		return slices.DeleteFunc(all, func(e *event.Event) bool { return e.Type() != memberType }), err
	}
	if at == "" {
		return x.r.engine.StateOfType(ctx, x.room, memberType)
	}
	token, err := roomview.ParseToken(at)
	if err != nil {
		return nil, api.InvalidParam("at: %v", err)
	}
	root, err := x.r.rooms.StateAsOf(ctx, x.nid, token.Position)
	if err != nil {
		return nil, err
	}
	var ids []ident.EventID
	err = x.r.engine.MembersOf(ctx, root, func(_ ident.UserID, id ident.EventID) bool {
		ids = append(ids, id)
		return true
	})
	if err != nil {
		return nil, err
	}
	found, err := x.r.engine.PlacedAll(ctx, ids)
	for _, p := range found {
		members = append(members, p.Event)
	}
	return members, err
}

// joinedMembers is GET /rooms/{roomId}/joined_members, for who is in the room.
func (r *Rooms) joinedMembers(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	membership, err := r.membership(ctx, room, q.User)
	if err != nil {
		return api.Reply{}, err
	}
	if membership != "join" {
		return api.Reply{}, api.Forbidden("you are not in the room")
	}
	events, err := r.engine.StateOfType(ctx, room, memberType)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	type shown struct {
		Name    string `json:"display_name,omitempty"`
		Picture string `json:"avatar_url,omitempty"`
	}
	joined := map[string]shown{}
	for _, e := range events {
		if key, _ := e.StateKey(); membershipOf(e) == "join" {
			joined[key] = shown{textIn(e, "displayname"), textIn(e, "avatar_url")}
		}
	}
	return api.JSON(map[string]any{"joined": joined})
}

// textIn is a text of an event's content, "" for none.
func textIn(e *event.Event, member string) string {
	text, _ := e.Content().Get(member).Text()
	return text
}
