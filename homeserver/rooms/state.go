// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
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
		id, err := r.putMembership(ctx, room, q.User, ident.UserID(key), content)
		return eventReply(id, refusal(err))
	}
	if id, err := r.standsAlready(ctx, room, q.User, event.StateKey{Type: kind, Key: key}, content); err != nil || id != "" {
		return eventReply(id, refusal(err))
	}
	id, err := r.server.Submit(ctx, room, pdu.Draft{Type: kind, StateKey: &key, Content: content, Sender: q.User})
	return eventReply(id, refusal(err))
}

// putMembership sets a membership whose whole content a client gives. An invitation goes the way of all: the server of who is invited has
// to sign it (M-31).
func (r *Rooms) putMembership(ctx context.Context, room ident.RoomID, by, user ident.UserID, content json.RawMessage) (ident.EventID, error) {
	content, err := ownMembership(content)
	if err != nil {
		return "", err
	}
	var named struct {
		Membership string `json:"membership"`
	}
	if err := json.Unmarshal(content, &named); err != nil {
		return "", api.BadJSON("membership is no string")
	}
	if named.Membership != "invite" {
		return r.server.SendState(ctx, room, by, memberType, string(user), content)
	}
	if _, err := ident.ParseUserID(string(user)); err != nil {
		return "", api.InvalidParam("the state key is no user id: %v", err)
	}
	return r.server.Invite(ctx, room, by, user, content)
}

// standsAlready is the event by which a user has set what they set again, "" for none: saying the same once more changes nothing, and
// makes no event.
func (r *Rooms) standsAlready(ctx context.Context, room ident.RoomID, user ident.UserID, slot event.StateKey, content json.RawMessage) (ident.EventID, error) {
	now, err := r.slot(ctx, room, slot.Type, slot.Key)
	if errors.Is(err, pdu.ErrUnknownRoom) || err == nil && (now == nil || now.Sender() != user) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	said, err := canonicaljson.Canonicalize(content, canonicaljson.Lenient)
	if err != nil || !bytes.Equal(said, now.Content().Canonical()) {
		return "", nil //nolint:nilerr // what cannot be read is refused where it is sent
	}
	member, err := r.membership(ctx, room, user)
	if err != nil || member != "join" {
		return "", err // who is out of the room is refused by its rules
	}
	return now.ID(), nil
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
