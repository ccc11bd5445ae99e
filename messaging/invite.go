// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// Invite invites a user to a room that the inviter, a user of this server, is in. Content is what the member event is to say beside its
// membership: a reason, a display name, is_direct; nil for nothing. A user of another server is invited over that: it has to sign the
// event before the room gets it (M-31, M-34).
//
// Errors: those of Send; ErrInviteRefused and ErrInviteBlocked of users of ours; a *transport.Failure when the other server refuses
// (M_FORBIDDEN, M_INVITE_BLOCKED) or cannot be reached.
func (s *Server) Invite(ctx context.Context, room ident.RoomID, inviter, invitee ident.UserID, content any) (id ident.EventID, err error) {
	if err = s.ours(inviter); err == nil {
		_, err = ident.ParseUserID(string(invitee))
	}
	if err == nil {
		err = s.call(ctx, func(ctx context.Context) error {
			draft, err := memberDraft(inviter, invitee, "invite", content)
			if err == nil {
				id, err = s.invite(ctx, room, draft)
			}
			return err
		})
	}
	if err != nil {
		return "", fmt.Errorf("invite %s to %s: %w", invitee, room, err)
	}
	return id, nil
}

// invite sends an invitation: a user of ours is asked (M-38), the server of any other is.
func (s *Server) invite(ctx context.Context, room ident.RoomID, draft pdu.Draft) (ident.EventID, error) {
	invitee := ident.UserID(*draft.StateKey)
	if invitee.Server() == s.self {
		if s.core.Invites != nil {
			if err := s.core.Invites.MayInvite(ctx, draft.Sender, invitee, room); err != nil {
				return "", err
			}
		}
		return s.sendDraft(ctx, room, draft)
	}
	prepared, err := s.engine.Prepare(ctx, room, draft)
	if err != nil {
		return "", err
	}
	signed, err := s.haveSigned(ctx, prepared, invitee.Server())
	if err != nil {
		return "", fmt.Errorf("over %s: %w", invitee.Server(), err)
	}
	return signed.ID(), s.engine.Accept(ctx, room, signed)
}

// haveSigned has the server of an invited user sign the invitation (E-21). Servers that know the first version only know the first two
// room versions only (M-30).
func (s *Server) haveSigned(ctx context.Context, invite *event.Event, server ident.ServerName) (*event.Event, error) {
	shown, err := s.appendPreview(ctx, nil, invite.RoomID(), invite.Sender())
	if err != nil {
		return nil, err
	}
	body := append([]byte(`{"event":`), invite.JSON()...)
	body = append(append(body, `,"invite_room_state":`...), shown...)
	body = append(canonicaljson.AppendString(append(body, `,"room_version":`...), invite.Version().ID), '}')
	answer, err := s.putInvite(ctx, "v2", invite, server, body)
	failure, refused := errors.AsType[*transport.Failure](err)
	if refused && (failure.Status == http.StatusBadRequest || failure.Status == http.StatusNotFound) && invite.Version().EventIDSigner {
		body = append([]byte(nil), invite.JSON()[:len(invite.JSON())-1]...)
		body = append(append(body, `,"unsigned":{"invite_room_state":`...), shown...)
		answer, err = s.putInvite(ctx, "v1", invite, server, append(body, "}}"...))
	}
	if err != nil {
		return nil, err
	}
	signed, err := s.takeSignature(ctx, invite, server, answer)
	if err != nil {
		return nil, fmt.Errorf("answer of invite: %w", err)
	}
	return signed, nil
}

func (s *Server) putInvite(ctx context.Context, version string, invite *event.Event, server ident.ServerName, body []byte) ([]byte, error) {
	answer, err := s.client.Do(ctx, server, transport.Call{
		Method: http.MethodPut, Body: body, MaxReply: maxInviteBody,
		Path: transport.Path("_matrix", "federation", version, "invite", string(invite.RoomID()), string(invite.ID())),
	})
	return answer.Body, err
}

// takeSignature adds what the server has signed the invitation with. Nothing else of its copy counts.
func (s *Server) takeSignature(ctx context.Context, invite *event.Event, server ident.ServerName, answer []byte) (*event.Event, error) {
	root, err := canonicaljson.Parse(answer, canonicaljson.Lenient)
	if err != nil {
		return nil, err
	}
	for element := range root.Elements() { // the first version answers [200, {…}]
		root = element
	}
	signed, taken := invite, 0
	for id, value := range root.Get("event").Get("signatures").Get(string(server)).Members() {
		text, ok := value.Text()
		if !ok || !strings.HasPrefix(id, signing.Algorithm+":") || invite.Signatures().Get(string(server)).Has(id) {
			continue
		}
		if taken++; taken > maxCosignatures {
			return nil, fmt.Errorf("more than %d signatures", maxCosignatures)
		}
		if signed, err = signed.WithSignature(server, ident.KeyID(id), text); err != nil {
			return nil, err
		}
	}
	return signed, event.VerifySignatureOf(ctx, server, signed, s.ring)
}
