// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transport/ident"
)

// join is POST /join/{roomIdOrAlias} and POST /rooms/{roomId}/join. Who is in the room already stays as they are (K15).
func (r *Rooms) join(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, via, content, err := r.approach(ctx, q, "join")
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	membership, err := r.membership(ctx, room, q.User)
	if err == nil && membership != "join" {
		err = r.server.JoinWith(ctx, q.User, room, content, via)
	}
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	return api.JSON(map[string]ident.RoomID{"room_id": room})
}

// knock is POST /knock/{roomIdOrAlias}.
func (r *Rooms) knock(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, via, content, err := r.approach(ctx, q, "knock")
	if err == nil {
		err = r.server.Knock(ctx, q.User, room, content, via)
	}
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	return api.JSON(map[string]ident.RoomID{"room_id": room})
}

// approach is a request to enter a room: the room, over which servers, and what the member event is to say.
func (r *Rooms) approach(ctx context.Context, q *api.Request, membership string) (room ident.RoomID, via []ident.ServerName, content map[string]any, err error) {
	var body struct {
		Reason string `json:"reason"`
	}
	if err = q.Decode(&body); err == nil {
		room, via, err = r.destination(ctx, q)
	}
	if err == nil {
		content, err = r.memberContent(ctx, q.User, membership, body.Reason)
	}
	return room, via, content, err
}

// leave is POST /rooms/{roomId}/leave. Who has left already stays as they are.
func (r *Rooms) leave(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	var body struct {
		Reason string `json:"reason,omitempty"`
	}
	if err := q.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	info, err := r.engine.Room(ctx, room)
	if err == nil && info.Membership == pdu.Joined && !info.Partial {
		member, err := r.slot(ctx, room, memberType, string(q.User))
		switch {
		case err != nil:
			return api.Reply{}, refusal(err)
		case member == nil:
			return api.Reply{}, api.NotFound("you are not in the room")
		case membershipOf(member) == "leave":
			return api.Reply{}, nil
		}
	}
	return api.Reply{}, refusal(r.server.LeaveWith(ctx, q.User, room, body, nil))
}

// about is the body of a request about somebody else's membership.
type about struct {
	User   *string `json:"user_id"`
	Reason string  `json:"reason"`
	Medium string  `json:"medium"` // of an invitation over an identity server
}

// aboutOf is the room in the path and the user in the body.
func aboutOf(q *api.Request) (room ident.RoomID, user ident.UserID, reason string, err error) {
	var body about
	if err = q.Decode(&body); err != nil {
		return "", "", "", err
	}
	if room, err = roomOf(q); err != nil {
		return "", "", "", err
	}
	switch {
	case body.User == nil && body.Medium != "":
		return "", "", "", errNoIdentityServer
	case body.User == nil:
		return "", "", "", api.MissingParam("user_id")
	}
	if user, err = ident.ParseUserID(*body.User); err != nil {
		return "", "", "", api.InvalidParam("user_id: %v", err)
	}
	return room, user, body.Reason, nil
}

// errNoIdentityServer is the refusal of invitations to people of whom only an identity server knows who they are.
var errNoIdentityServer = &api.Error{
	Status: http.StatusForbidden, Code: "M_THREEPID_DENIED", Message: "this server knows no identity server to invite over",
}

// invite is POST /rooms/{roomId}/invite.
func (r *Rooms) invite(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, user, reason, err := aboutOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	content, err := r.memberContent(ctx, user, "invite", reason)
	if err == nil {
		_, err = r.server.Invite(ctx, room, q.User, user, content)
	}
	return api.Reply{}, refusal(err)
}

// inviteAll invites users to a new room, several at a time: servers that do not answer take long. The room is there, and its id what the
// client needs to know: an invitation that fails is not in its state.
func (r *Rooms) inviteAll(ctx context.Context, room ident.RoomID, inviter ident.UserID, invited []ident.UserID, direct bool) {
	var all sync.WaitGroup
	places := make(chan struct{}, maxInvitesAtOnce)
	for _, user := range invited {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			content, err := r.memberContent(ctx, user, "invite", "")
			if err != nil {
				return
			}
			if direct {
				content["is_direct"] = true
			}
			_, _ = r.server.Invite(ctx, room, inviter, user, content)
		})
	}
	all.Wait()
}

// moderation is what one user does to the membership of another.
type moderation struct {
	makes string   // the membership
	of    []string // of users who have one of these; nil: of anyone. The rules alone would have a kick take back a ban
	wrong string   // what is wrong with anybody else
}

var (
	kick  = moderation{"leave", []string{"join", "invite", "knock"}, "the user is not in the room"}
	ban   = moderation{"ban", nil, ""}
	unban = moderation{"leave", []string{"ban"}, "the user is not banned"}
)

// moderate answers POST /rooms/{roomId}/kick, ban and unban.
func (r *Rooms) moderate(m moderation) func(context.Context, *api.Request) (api.Reply, error) {
	return func(ctx context.Context, q *api.Request) (api.Reply, error) {
		room, user, reason, err := aboutOf(q)
		if err != nil {
			return api.Reply{}, err
		}
		return api.Reply{}, refusal(r.change(ctx, room, q.User, user, m, reason))
	}
}

func (r *Rooms) change(ctx context.Context, room ident.RoomID, by, user ident.UserID, m moderation, reason string) error {
	if m.of != nil {
		membership, err := r.membership(ctx, room, user)
		if err != nil {
			return err
		}
		if !slices.Contains(m.of, membership) {
			return api.Forbidden("%s", m.wrong)
		}
	}
	content := map[string]any{"membership": m.makes}
	if reason != "" {
		content["reason"] = reason
	}
	_, err := r.server.SendState(ctx, room, by, memberType, string(user), content)
	return err
}

// membership is how a user stands to a room that this server knows, by its current state: "" for none.
func (r *Rooms) membership(ctx context.Context, room ident.RoomID, user ident.UserID) (string, error) {
	info, err := r.engine.Room(ctx, room)
	if errors.Is(err, pdu.ErrUnknownRoom) || err == nil && info.Membership != pdu.Joined {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	member, err := r.slot(ctx, room, memberType, string(user))
	return membershipOf(member), err
}
