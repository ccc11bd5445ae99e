// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"errors"
	"net/http"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// codeInviteBlocked completes the error codes of package spec.
const codeInviteBlocked spec.MatrixErrorCode = "M_INVITE_BLOCKED"

var (
	// ErrInviteRefused: the user takes no such invitation, or is not there.
	ErrInviteRefused = errors.New("the user cannot be invited")
	// ErrInviteBlocked: the user has chosen to take no invitations.
	ErrInviteBlocked = errors.New("the user blocks invitations")
)

// acceptInvite takes an invitation of a user of ours in, and gives it back with our signature (E-21).
func (s *Server) acceptInvite(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	for _, name := range []string{"room_version", "event"} {
		if !r.JSON.Has(name) {
			return transport.Reply{}, missingParam(name)
		}
	}
	id, _ := r.JSON.Get("room_version").Text()
	version, known := event.VersionOf(id)
	if !known {
		return transport.Reply{}, &transport.Error{
			Status: http.StatusBadRequest, Code: spec.ErrorIncompatibleRoomVersion,
			Message: "this server does not know the room's version", Extra: map[string]any{"room_version": id},
		}
	}
	signed, err := s.takeInvite(ctx, r, version, r.JSON.Get("event"), r.JSON.Get("invite_room_state"))
	if err != nil {
		return transport.Reply{}, err
	}
	return transport.Reply{Body: append(append([]byte(`{"event":`), signed.JSON()...), '}')}, nil
}

// acceptInviteV1 is the first version, for rooms of versions 1 and 2, which do not differ in what an invitation is (E-20).
func (s *Server) acceptInviteV1(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	version, _ := event.VersionOf("1")
	if room, err := s.engine.Room(ctx, ident.RoomID(r.Params["roomID"])); err == nil && room.Version.EventIDSigner {
		version = room.Version
	}
	signed, err := s.takeInvite(ctx, r, version, r.JSON, r.JSON.Get("unsigned").Get("invite_room_state"))
	if err != nil {
		return transport.Reply{}, err
	}
	return transport.Reply{Body: append(append([]byte(`[200,{"event":`), signed.JSON()...), "}]"...)}, nil
}

// takeInvite signs an invitation when everything about it is in order: who is in the room already gets it as an event of the room, as
// which it comes once more (M-36); else the homeserver is told.
func (s *Server) takeInvite(ctx context.Context, r *transport.Request, v *event.Version, wire, shown canonicaljson.Value) (*event.Event, error) {
	if s.core.Invites == nil {
		return nil, &transport.Error{Status: http.StatusNotFound, Code: spec.ErrorUnrecognized, Message: "this server takes no invitations"}
	}
	invite, err := s.readInvite(ctx, r, v, wire)
	if err != nil {
		return nil, err
	}
	inside, err := s.isResident(ctx, r, v)
	if err != nil {
		return nil, err
	}
	target, _ := invite.StateKey()
	if err := s.core.Invites.MayInvite(ctx, invite.Sender(), ident.UserID(target), invite.RoomID()); err != nil {
		return nil, inviteRefusal(err)
	}
	signed, err := invite.Sign(s.self, s.own.SigningKey())
	if err != nil {
		return nil, err
	}
	if inside {
		return signed, s.engine.TakeHandedOver(ctx, r.Origin, signed)
	}
	preview, err := s.readPreview(ctx, v, invite.RoomID(), r.Origin, shown)
	if err != nil {
		return nil, err
	}
	if err := preview.complete(v); err != nil {
		return nil, err
	}
	return signed, s.standOutside(ctx, signed, r.Origin, preview.state)
}

// readInvite reads an invitation and refuses what is none of a user of the origin for a user of ours (M-31).
func (s *Server) readInvite(ctx context.Context, r *transport.Request, v *event.Version, wire canonicaljson.Value) (*event.Event, error) {
	invite, err := event.Parse(v, wire.Canonical())
	if err != nil {
		return nil, &transport.Error{Status: http.StatusBadRequest, Code: spec.ErrorBadJSON, Message: err.Error()}
	}
	key, _ := invite.StateKey()
	target, notUser := ident.ParseUserID(key)
	content, isMember := invite.Membership()
	switch {
	case invite.HashMismatch():
		return nil, invalidParam("the content hash of the event does not match")
	case string(invite.ID()) != r.Params["eventID"]:
		return nil, invalidParam("the event is %s, not %s", invite.ID(), r.Params["eventID"])
	case string(invite.RoomID()) != r.Params["roomID"]:
		return nil, invalidParam("the event is of room %s, not %s", invite.RoomID(), r.Params["roomID"])
	case !isMember || content.Membership != "invite":
		return nil, invalidParam("not an m.room.member event with membership invite")
	case invite.Sender().Server() != r.Origin:
		return nil, invalidParam("the sender %s is not a user of %s", invite.Sender(), r.Origin)
	case notUser != nil || target.Server() != s.self:
		return nil, invalidParam("%.255s is not a user of this server", key)
	}
	err = event.VerifySignatures(ctx, []*event.Event{invite}, s.ring)[0]
	if err == nil { // a third-party invite needs the sender's signature in no room, and here
		err = event.VerifySignatureOf(ctx, r.Origin, invite, s.ring)
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if errors.Is(err, event.ErrNoKey) {
		return nil, &transport.Error{Status: http.StatusServiceUnavailable, Code: spec.ErrorUnknown, Message: err.Error()}
	}
	if err != nil {
		return nil, invalidParam("%v", err)
	}
	return invite, nil
}

// isResident says whether this server is in the room in the path. If it is, the room's own word on the origin and the version counts.
func (s *Server) isResident(ctx context.Context, r *transport.Request, v *event.Version) (bool, error) {
	room, err := s.engine.Room(ctx, ident.RoomID(r.Params["roomID"]))
	if errors.Is(err, pdu.ErrUnknownRoom) || err == nil && room.Membership != pdu.Joined {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if room.Version != v {
		return false, invalidParam("the room is of version %s, not %s", room.Version.ID, v.ID)
	}
	return true, s.engine.CheckAccess(ctx, room.ID, r.Origin)
}

// complete refuses what a room shows with an invitation unless its create event is there, which makes its id, and all is in order
// (M-33). In the versions before, where anyone can say anything of a room, it is taken for what it is.
func (p preview) complete(v *event.Version) error {
	switch {
	case !v.HashRoomID:
		return nil
	case len(p.faults) > 0:
		return invalidParam("invite_room_state: %v", p.faults[0])
	case !p.create:
		return missingParam("the m.room.create event in invite_room_state")
	}
	return nil
}

func inviteRefusal(err error) error {
	switch {
	case errors.Is(err, ErrInviteBlocked):
		return &transport.Error{Status: http.StatusForbidden, Code: codeInviteBlocked, Message: ErrInviteBlocked.Error()}
	case errors.Is(err, ErrInviteRefused):
		return forbidden("%v", ErrInviteRefused)
	}
	return err
}

func missingParam(name string) *transport.Error {
	return &transport.Error{Status: http.StatusBadRequest, Code: spec.ErrorMissingParam, Message: name + " is missing"}
}
