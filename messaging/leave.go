// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transport/ident"
)

// Leave makes a user of this server leave a room, or reject an invitation or take back a knock. Where the room is here that is an
// event like any other. Else a server in via is asked to take the leave (M-23), in turn until one does.
//
// Errors are those of Join.
func (s *Server) Leave(ctx context.Context, user ident.UserID, room ident.RoomID, via ...ident.ServerName) error {
	err := s.ours(user)
	if err == nil {
		err = s.call(ctx, func(ctx context.Context) error { return s.leave(ctx, user, room, via) })
	}
	if err != nil {
		return fmt.Errorf("leave %s as %s: %w", room, user, err)
	}
	return nil
}

func (s *Server) leave(ctx context.Context, user ident.UserID, room ident.RoomID, via []ident.ServerName) error {
	switch info, err := s.engine.Room(ctx, room); {
	case err == nil && info.Membership == pdu.Joined:
		if known, err := s.knowsMember(ctx, info, user); err != nil || !known {
			return errors.Join(err, s.overResident(ctx, handshake{room: room, user: user, membership: "leave"}, via))
		}
		content, err := encodeContent(membershipContent("leave"))
		if err != nil {
			return err
		}
		_, err = s.sendDraft(ctx, room, memberDraft(user, content))
		return err
	case err != nil && !errors.Is(err, pdu.ErrUnknownRoom):
		return err
	}
	return s.overOthers(ctx, handshake{room: room, user: user, membership: "leave"}, via, s.leaveOver)
}

// leaveOver leaves over one server: make_leave, our event, send_leave.
func (s *Server) leaveOver(ctx context.Context, h handshake, via ident.ServerName) error {
	leave, err := s.makeEvent(ctx, h, via)
	if err != nil {
		return err
	}
	_, err = s.sendMembership(ctx, h, via, leave)
	return err
}
