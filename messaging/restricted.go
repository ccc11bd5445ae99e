// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// codeUnableToGrantJoin completes the error codes of package spec.
const codeUnableToGrantJoin spec.MatrixErrorCode = "M_UNABLE_TO_GRANT_JOIN"

// authoriser is the user of ours who lets a user into a room with conditions, "" if none is needed: another rule decides, or the
// user has been invited (M-13, M-14). The refusals are those that make_join answers with.
func (s *Server) authoriser(ctx context.Context, room pdu.RoomInfo, user ident.UserID) (ident.UserID, error) {
	rules, err := s.conditions(ctx, room)
	if err != nil || rules == nil {
		return "", err
	}
	member, err := s.membership(ctx, room.ID, user)
	if err != nil || member == "join" || member == "invite" {
		return "", err
	}
	if err := s.meetsConditions(ctx, rules, user); err != nil {
		return "", err
	}
	state, err := s.engine.State(ctx, room.ID)
	if err != nil {
		return "", err
	}
	if authoriser, found := inviterOf(s.self, state); found {
		return authoriser, nil
	}
	return "", &transport.Error{
		Status: http.StatusBadRequest, Code: codeUnableToGrantJoin,
		Message: "the conditions are met, but no user of this server may invite",
	}
}

// isAnothersToGrant says of a refusal that another server in the room may decide otherwise: it is no word on the user (M-13).
func isAnothersToGrant(err error) bool {
	refusal, ok := errors.AsType[*transport.Error](err)
	return ok && (refusal.Code == codeUnableToGrantJoin || refusal.Code == spec.ErrorUnableToAuthoriseJoin)
}

// conditions are the join rules of a restricted room, nil in any other.
func (s *Server) conditions(ctx context.Context, room pdu.RoomInfo) (*event.JoinRules, error) {
	current, err := s.engine.StateEvent(ctx, room.ID, event.StateKey{Type: "m.room.join_rules"})
	if err != nil || current == nil {
		return nil, err
	}
	rules, err := current.JoinRules()
	if err != nil {
		return nil, nil //nolint:nilerr // rules that cannot be read let nobody in, by the rules of the room themselves
	}
	switch {
	case rules.JoinRule == "restricted" && room.Version.Restricted:
		return rules, nil
	case rules.JoinRule == "knock_restricted" && room.Version.KnockRestricted:
		return rules, nil
	}
	return nil, nil
}

// membership of a user by the current state of a room, "" for none.
func (s *Server) membership(ctx context.Context, room ident.RoomID, user ident.UserID) (string, error) {
	current, err := s.engine.StateEvent(ctx, room, event.StateKey{Type: "m.room.member", Key: string(user)})
	if err != nil || current == nil {
		return "", err
	}
	member, _ := current.Membership()
	return member.Membership, nil
}

// meetsConditions is nil when the user is in one of the rooms that the rules name. We can tell only for rooms that we are in
// ourselves, and know the members of (M-13).
func (s *Server) meetsConditions(ctx context.Context, rules *event.JoinRules, user ident.UserID) error {
	unknown := false
	for _, room := range allowedRooms(rules.Allow) {
		info, err := s.engine.Room(ctx, room)
		if errors.Is(err, pdu.ErrUnknownRoom) || err == nil && info.Membership != pdu.Joined {
			unknown = true
			continue
		}
		if err != nil {
			return err
		}
		member, err := s.membership(ctx, room, user)
		if err != nil {
			return err
		}
		if member == "join" {
			return nil
		}
		unknown = unknown || info.Partial && member == ""
	}
	if unknown {
		return &transport.Error{
			Status: http.StatusBadRequest, Code: spec.ErrorUnableToAuthoriseJoin,
			Message: "this server is not in all the rooms whose members may join",
		}
	}
	return forbidden("%s is in none of the rooms whose members may join", user)
}

// allowedRooms reads the conditions. What is of another type, or malformed, never matches (M-15).
func allowedRooms(allow canonicaljson.Value) []ident.RoomID {
	var rooms []ident.RoomID
	looked := 0
	for condition := range allow.Elements() {
		if looked++; looked > maxAllow {
			break
		}
		text, ok := condition.Get("room_id").Text()
		if !ok || !condition.Get("type").IsText("m.room_membership") {
			continue
		}
		if room, err := ident.ParseRoomID(text); err == nil {
			rooms = append(rooms, room)
		}
	}
	return rooms
}

// inviterOf finds a user of ours who may invite.
func inviterOf(self ident.ServerName, state []*event.Event) (ident.UserID, bool) {
	lookup := auth.StateOf(state)
	for _, e := range state {
		key, _ := e.StateKey()
		user := ident.UserID(key)
		if e.Type() == "m.room.member" && user.Server() == self && auth.CanInvite(user, lookup) {
			return user, true
		}
	}
	return "", false
}

func forbidden(format string, args ...any) *transport.Error {
	return &transport.Error{Status: http.StatusForbidden, Code: spec.ErrorForbidden, Message: fmt.Sprintf(format, args...)}
}
