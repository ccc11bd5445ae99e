// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"slices"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// summary is GET /_matrix/client/v1/room_summary/{roomIdOrAlias}: what a room shows to somebody who could look into it or enter it.
func (r *Rooms) summary(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, via, err := r.destination(ctx, q)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	shown, err := r.server.Summary(ctx, room)
	if errors.Is(err, pdu.ErrUnknownRoom) || errors.Is(err, pdu.ErrNotJoined) {
		var answer messaging.Hierarchy
		answer, err = r.server.Hierarchy(ctx, room, via, false)
		shown = answer.Room.RoomSummary
	}
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	visible, err := r.isVisible(ctx, q.User, shown)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	if !visible {
		return api.Reply{}, api.NotFound("there is no such room that you can see")
	}
	reply := struct {
		messaging.RoomSummary
		Membership string `json:"membership,omitempty"`
	}{RoomSummary: shown}
	if q.User != "" {
		if reply.Membership, err = r.anyMembership(ctx, room, q.User); err != nil {
			return api.Reply{}, err
		}
		if reply.Membership == "" {
			reply.Membership = "leave"
		}
	}
	return api.JSON(reply)
}

// isVisible says whether a user may be told of a room: everybody, if anyone may read it, enter it or ask to; else who is in it or invited,
// and who is in a room whose members may enter. Nobody in particular is "".
func (r *Rooms) isVisible(ctx context.Context, user ident.UserID, s messaging.RoomSummary) (bool, error) {
	if s.WorldReadable || slices.Contains([]string{"public", "knock", "knock_restricted"}, s.JoinRule) {
		return true, nil
	}
	if user == "" {
		return false, nil
	}
	membership, err := r.anyMembership(ctx, s.Room, user)
	if err != nil || membership == "join" || membership == "invite" {
		return err == nil, err
	}
	if s.JoinRule != "restricted" {
		return false, nil
	}
	for _, allowed := range s.AllowedRooms {
		if membership, err := r.membership(ctx, allowed, user); err != nil || membership == "join" {
			return err == nil, err
		}
	}
	return false, nil
}

// anyMembership is how a user stands to a room, whether this server is in it or not; "" for not at all.
func (r *Rooms) anyMembership(ctx context.Context, room ident.RoomID, user ident.UserID) (string, error) {
	membership, err := r.membership(ctx, room, user)
	if err != nil || membership != "" {
		return membership, err
	}
	err = r.store.View(ctx, func(tx *persistence.Tx) error {
		stays, err := roomview.Stays(tx, user, room)
		if n := len(stays); n > 0 {
			membership = stays[n-1].Membership
		}
		return err
	})
	if membership == "forgotten" {
		membership = "leave"
	}
	return membership, err
}
