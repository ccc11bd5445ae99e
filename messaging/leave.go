// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Leave makes a user of this server leave a room, or reject an invitation or take back a knock. Where the room is here that is an
// event like any other. Else a server in via, or the one that the invitation came from, is asked to take the leave (M-23), in turn until
// one does. When none does, an invitation or a knock ends here all the same (M-25): the others may still count on it.
//
// Errors are those of Join.
func (s *Server) Leave(ctx context.Context, user ident.UserID, room ident.RoomID, via ...ident.ServerName) error {
	return s.LeaveWith(ctx, user, room, nil, via)
}

// LeaveWith is Leave with what the member event is to say beside its membership: a reason; nil for nothing.
func (s *Server) LeaveWith(ctx context.Context, user ident.UserID, room ident.RoomID, content any, via []ident.ServerName) error {
	h, err := newHandshake(room, user, "leave", content)
	if err == nil {
		err = s.ours(user)
	}
	if err == nil {
		err = s.call(ctx, func(ctx context.Context) error { return s.leave(ctx, h, via) })
	}
	if err != nil {
		return fmt.Errorf("leave %s as %s: %w", room, user, err)
	}
	return nil
}

func (s *Server) leave(ctx context.Context, h handshake, via []ident.ServerName) error {
	if done, err := s.inHere(ctx, h, via); done || err != nil {
		return err
	}
	return s.leaveOutside(ctx, h, via)
}

// inHere sends the member event of a user where the room is here. done is false, without an error, where it is not. Who is not known yet, in
// a room that is partial, goes over a server that knows all.
func (s *Server) inHere(ctx context.Context, h handshake, via []ident.ServerName) (done bool, err error) {
	info, err := s.engine.Room(ctx, h.room)
	if errors.Is(err, pdu.ErrUnknownRoom) || err == nil && info.Membership != pdu.Joined {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if known, err := s.knowsMember(ctx, info, h.user); err != nil || !known {
		return true, errors.Join(err, s.overResident(ctx, h, via))
	}
	return true, s.sendOwn(ctx, h)
}

// leaveOutside leaves a room that this server is not in.
func (s *Server) leaveOutside(ctx context.Context, h handshake, via []ident.ServerName) error {
	stood, outside, err := s.outsider(ctx, h.user, h.room)
	if err != nil {
		return err
	}
	asking := ctx
	if outside {
		var cancel context.CancelFunc
		asking, cancel = context.WithTimeout(ctx, rejectPatience)
		defer cancel()
	}
	left := Standing{Room: h.room, Version: stood.Version, User: h.user, Membership: "leave", Sender: h.user}
	err = s.overOthers(asking, h, via, func(ctx context.Context, h handshake, via ident.ServerName) error {
		leave, err := s.leaveOver(ctx, h, via)
		if err == nil {
			left.Version, left.Event, left.Told = leave.Version().ID, leave, true
		}
		return err
	})
	if err != nil && (!outside || ctx.Err() != nil) {
		return err
	}
	if !left.Told {
		if left.Event, err = s.unheardLeave(h, stood); err != nil {
			return err
		}
	}
	return s.store.Update(ctx, func(tx *persistence.Tx) error {
		if outside {
			return s.endOutside(tx, stood.Event, left)
		}
		return s.tellStanding(tx, left) // what was not known here the homeserver may have known
	})
}

// unheardLeave is a leave that no server of the room took, made here: clients know by events how their user stands to a room (M-25). It
// follows the invitation or the knock that it ends, of the rest of the room we know nothing.
func (s *Server) unheardLeave(h handshake, stood persistence.Outsider) (*event.Event, error) {
	version, known := event.VersionOf(stood.Version)
	if !known {
		return nil, fmt.Errorf("room version %q is not known", stood.Version)
	}
	content, err := encodeContent(h.content)
	if err != nil {
		return nil, err
	}
	key, ended := string(h.user), []event.Ref{{ID: stood.Event}}
	return event.Build(version, event.Proto{
		RoomID: h.room, Sender: h.user, Type: "m.room.member", StateKey: &key, Content: content,
		PrevEvents: ended, AuthEvents: ended, Depth: 1, OriginServerTS: time.Now().UnixMilli(),
	}, s.self, s.own.SigningKey())
}

// leaveOver leaves over one server: make_leave, our event, send_leave.
func (s *Server) leaveOver(ctx context.Context, h handshake, via ident.ServerName) (*event.Event, error) {
	leave, err := s.makeEvent(ctx, h, via)
	if err != nil {
		return nil, err
	}
	_, err = s.sendMembership(ctx, h, via, leave)
	return leave, err
}

// sendOwn sends a user's own member event to a room that is here.
func (s *Server) sendOwn(ctx context.Context, h handshake) error {
	draft, err := draftOf(h.user, h.user, h.content)
	if err != nil {
		return err
	}
	_, err = s.sendDraft(ctx, h.room, draft)
	return err
}
