// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// joinedRooms is GET /joined_rooms.
func (r *Rooms) joinedRooms(ctx context.Context, q *api.Request) (api.Reply, error) {
	rooms, err := r.JoinedRooms(ctx, q.User)
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string][]ident.RoomID{"joined_rooms": rooms})
}

// JoinedRooms lists the rooms that a user of ours is joined to.
func (r *Rooms) JoinedRooms(ctx context.Context, user ident.UserID) ([]ident.RoomID, error) {
	now, err := r.rooms.Now(ctx)
	if err != nil {
		return nil, err
	}
	joined, err := r.rooms.Joined(ctx, user, now)
	return append([]ident.RoomID{}, joined...), err
}

// ShowProfile brings the name and picture of a user's membership of a room up to date; what else is in it stays. A room that does not
// let the user, or that they have left in the meantime, is left as it is.
func (r *Rooms) ShowProfile(ctx context.Context, room ident.RoomID, user ident.UserID) error {
	member, err := r.slot(ctx, room, memberType, string(user))
	if err != nil || membershipOf(member) != "join" {
		return err
	}
	content, err := r.memberContent(ctx, user, "join", "")
	if err != nil {
		return err
	}
	for name, value := range member.Content().Members() {
		switch name {
		case "membership", "displayname", "avatar_url", "reason", authoriserKey:
		default:
			content[name] = json.RawMessage(value.Canonical())
		}
	}
	shown, err := canonicaljson.Marshal(content)
	if err != nil || bytes.Equal(shown, member.Content().Canonical()) {
		return err
	}
	_, err = r.server.SendState(ctx, room, user, memberType, string(user), content)
	if _, refused := errors.AsType[*api.Error](refusal(err)); refused {
		return nil
	}
	return err
}
