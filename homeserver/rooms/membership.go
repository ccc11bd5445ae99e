// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/transport/ident"
)

// join is POST /join/{roomIdOrAlias} and POST /rooms/{roomId}/join.
func (r *Rooms) join(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, via, err := r.destination(ctx, q)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	if err := r.server.Join(ctx, q.User, room, via); err != nil {
		return api.Reply{}, refusal(err)
	}
	return api.JSON(map[string]ident.RoomID{"room_id": room})
}

// leave is POST /rooms/{roomId}/leave.
func (r *Rooms) leave(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	return api.Reply{}, refusal(r.server.Leave(ctx, q.User, room))
}

// inviteAll invites users to a new room.
func (r *Rooms) inviteAll(ctx context.Context, room ident.RoomID, inviter ident.UserID, invited []ident.UserID, direct bool) error {
	for _, user := range invited {
		content, err := r.memberContent(ctx, user, "invite", "")
		if err != nil {
			return err
		}
		if direct {
			content["is_direct"] = true
		}
		if _, err := r.server.SendState(ctx, room, inviter, "m.room.member", string(user), content); err != nil {
			return err
		}
	}
	return nil
}
