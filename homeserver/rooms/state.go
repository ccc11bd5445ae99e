// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
)

// putState is PUT /rooms/{roomId}/state/{eventType}/{stateKey}.
func (r *Rooms) putState(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	content, err := q.Object()
	if err != nil {
		return api.Reply{}, err
	}
	kind, key := q.Param("type"), q.Param("key")
	if kind == canonicalType {
		if err := r.checkCanonical(ctx, room, content); err != nil {
			return api.Reply{}, err
		}
	}
	if kind == memberType {
		if content, err = ownMembership(content); err != nil {
			return api.Reply{}, err
		}
	}
	id, err := r.server.Submit(ctx, room, pdu.Draft{Type: kind, StateKey: &key, Content: content, Sender: q.User})
	return eventReply(id, refusal(err))
}

// ownMembership is the content of a membership that a client gives, without what is the servers' to say: who let the user into a
// restricted room (M-14). Clients send it back with a new name.
func ownMembership(content json.RawMessage) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(content, &members); err != nil {
		return nil, api.BadJSON("%v", err)
	}
	delete(members, authoriserKey)
	return json.Marshal(members)
}

// allState is GET /rooms/{roomId}/state.
func (r *Rooms) allState(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	v, err := r.viewOf(ctx, room, q.User)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	state, err := v.all(ctx)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	return listReply(state)
}

// oneState is GET /rooms/{roomId}/state/{eventType}/{stateKey}.
func (r *Rooms) oneState(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	format := q.Query.Get("format")
	if format != "" && format != "content" && format != "event" {
		return api.Reply{}, api.InvalidParam("format is content or event, not %.40q", format)
	}
	v, err := r.viewOf(ctx, room, q.User)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	found, err := v.one(ctx, event.StateKey{Type: q.Param("type"), Key: q.Param("key")})
	switch {
	case err != nil:
		return api.Reply{}, refusal(err)
	case found == nil:
		return api.Reply{}, api.NotFound("the room has no such state")
	case format == "event":
		return api.Reply{Body: appendState(nil, found)}, nil
	}
	return api.Reply{Body: found.Content().Canonical()}, nil
}
