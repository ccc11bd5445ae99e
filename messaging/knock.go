// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"fmt"
	"net/http"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Knock asks the members of a room to let a user of this server in. Content is what the member event is to say beside its membership: a
// reason, a display name; nil for nothing. Where the room is here that is an event like any other. Else a server in via is asked to
// take the knock (M-20), in turn until one does, and Core.Invites is told of it and of what the room shows. An invitation answers it
// (M-22), or a leave or ban does: each is told as any other.
//
// Errors are those of Join.
func (s *Server) Knock(ctx context.Context, user ident.UserID, room ident.RoomID, content any, via []ident.ServerName) error {
	h, err := newHandshake(room, user, "knock", content)
	if err == nil {
		err = s.newcomer(user)
	}
	if err == nil {
		err = s.call(ctx, func(ctx context.Context) error { return s.knock(ctx, h, via) })
	}
	if err != nil {
		return fmt.Errorf("knock on %s as %s: %w", room, user, err)
	}
	return nil
}

func (s *Server) knock(ctx context.Context, h handshake, via []ident.ServerName) error {
	if done, err := s.inHere(ctx, h, via); done || err != nil {
		return err
	}
	return s.overOthers(ctx, h, via, s.knockOver)
}

// knockOver knocks over one server: make_knock, our event, send_knock.
func (s *Server) knockOver(ctx context.Context, h handshake, via ident.ServerName) error {
	knock, err := s.makeEvent(ctx, h, via)
	if err != nil {
		return err
	}
	answer, err := s.sendMembership(ctx, h, via, knock)
	if err != nil {
		return err
	}
	// The server has taken it, whatever it shows of the room.
	root, err := canonicaljson.Parse(answer, canonicaljson.Lenient)
	if err != nil {
		s.traceFailed(h, via, fmt.Errorf("answer of send_knock: %w", err))
	}
	preview, err := s.readPreview(ctx, knock.Version(), h.room, via, root.Get("knock_room_state"))
	if err != nil {
		return err
	}
	return s.standOutside(ctx, knock, via, preview.state)
}

// makeKnock answers with the knock that the room would take (E-16).
func (s *Server) makeKnock(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	user, err := userOfOrigin(r)
	if err != nil {
		return transport.Reply{}, err
	}
	if !r.Query.Has("ver") {
		return transport.Reply{}, missingParam("ver")
	}
	room, err := s.residentRoom(ctx, r)
	if err != nil {
		return transport.Reply{}, err
	}
	if err := offered(r, room); err != nil {
		return transport.Reply{}, err
	}
	return s.template(ctx, room.ID, user, map[string]any{"membership": "knock"})
}

// acceptKnock takes a knock in and shows the room (M-21).
func (s *Server) acceptKnock(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	room, err := s.residentRoom(ctx, r)
	if err != nil {
		return transport.Reply{}, err
	}
	if !room.Version.Knock {
		return transport.Reply{}, &transport.Error{Status: http.StatusForbidden, Code: spec.ErrorForbidden, Message: "nobody can knock in this version of rooms"}
	}
	if _, err := s.admit(ctx, r, "knock"); err != nil {
		return transport.Reply{}, err
	}
	shown, err := s.appendPreview(ctx, []byte(`{"knock_room_state":`), room.ID, "")
	if err != nil {
		return transport.Reply{}, err
	}
	return transport.Reply{Body: append(shown, '}')}, nil
}
