// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// A third-party invite asks in someone of whom only an address is known. It is an event of the room, which names the keys of an identity
// server. When the address becomes that of a user, the identity server tells the user's server, with a statement that it has signed:
//
//	identity server ── onbind ──► the user's server ── exchange ──► the inviter's server ── invite ──► the user's server
//
// A user's server that is in the room itself makes the invitation at once.

// redemption is what makes an invitation of a third-party invite.
type redemption struct {
	room           ident.RoomID
	sender, target ident.UserID
	signed         canonicaljson.Value // by the identity server
}

// bound is told by an identity server of invitations to an address that now belongs to a user of ours (E-23, M-40). Nobody signs the
// request: what it is worth is seen from the statements in it.
func (s *Server) bound(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	if s.core.Invites == nil {
		return transport.Reply{}, &transport.Error{Status: http.StatusNotFound, Code: spec.ErrorUnrecognized, Message: "this server takes no invitations"}
	}
	var faults []error
	n := 0
	for element := range r.JSON.Get("invites").Elements() {
		if n++; n > maxBindings {
			faults = append(faults, invalidParam("more than %d invites", maxBindings))
			break
		}
		d, err := s.readBinding(r.JSON, element)
		if err == nil {
			err = s.redeemBound(ctx, d)
		}
		faults = append(faults, err)
	}
	return transport.Reply{}, errors.Join(faults...)
}

// readBinding reads one of the invitations that an identity server tells of.
func (s *Server) readBinding(body, element canonicaljson.Value) (redemption, error) {
	d, err := readRedemption(element.Get("room_id"), element.Get("sender"), body.Get("mxid"), element.Get("signed"))
	if err == nil && d.target.Server() != s.self {
		err = invalidParam("%s is not a user of this server", d.target)
	}
	return d, err
}

func readRedemption(room, sender, target, signed canonicaljson.Value) (d redemption, err error) {
	text := func(v canonicaljson.Value) string { t, _ := v.Text(); return t }
	d.signed = signed
	d.room, err = ident.ParseRoomID(text(room))
	if err == nil {
		d.sender, err = ident.ParseUserID(text(sender))
	}
	if err == nil {
		d.target, err = ident.ParseUserID(text(target))
	}
	switch {
	case err != nil:
		return d, invalidParam("%v", err)
	case !signed.Get("mxid").IsText(string(d.target)):
		return d, invalidParam("what was signed is not about %s", d.target)
	case text(signed.Get("token")) == "":
		return d, invalidParam("what was signed names no token")
	}
	return d, nil
}

// redeemBound makes the invitation, or has the inviter's server make it.
func (s *Server) redeemBound(ctx context.Context, d redemption) error {
	if err := s.core.Invites.MayInvite(ctx, d.sender, d.target, d.room); err != nil {
		return inviteRefusal(err)
	}
	switch room, err := s.engine.Room(ctx, d.room); {
	case err == nil && room.Membership == pdu.Joined:
		return s.redeem(ctx, d)
	case err != nil && !errors.Is(err, pdu.ErrUnknownRoom):
		return err
	}
	body, err := encodeContent(map[string]any{
		"type": "m.room.member", "room_id": d.room, "sender": d.sender, "state_key": d.target, "content": d.content(""),
	})
	if err != nil {
		return err
	}
	_, err = s.client.Do(ctx, d.sender.Server(), transport.Call{
		Method: http.MethodPut, Body: body, Path: transport.Path("_matrix", "federation", "v1", "exchange_third_party_invite", string(d.room)),
	})
	return relayed(err)
}

// content is what the invitation says.
func (d redemption) content(displayName string) map[string]any {
	return map[string]any{
		"membership": "invite", thirdPartyKey: map[string]any{"display_name": displayName, "signed": json.RawMessage(d.signed.Canonical())},
	}
}

// exchange makes an invitation of a third-party invite of a user of ours (E-22, M-41).
func (s *Server) exchange(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	room, err := s.residentRoom(ctx, r)
	if err != nil {
		return transport.Reply{}, err
	}
	content := r.JSON.Get("content")
	d, err := readRedemption(r.JSON.Get("room_id"), r.JSON.Get("sender"), r.JSON.Get("state_key"), content.Get(thirdPartyKey).Get("signed"))
	switch {
	case err != nil:
		return transport.Reply{}, err
	case d.room != room.ID:
		return transport.Reply{}, invalidParam("the event is of room %s", d.room)
	case !r.JSON.Get("type").IsText("m.room.member") || !content.Get("membership").IsText("invite"):
		return transport.Reply{}, invalidParam("not an m.room.member event with membership invite")
	case d.sender.Server() != s.self:
		return transport.Reply{}, invalidParam("%s is not a user of this server", d.sender)
	}
	return transport.Reply{}, s.redeem(ctx, d)
}

// redeem makes an invitation in a room that is here. That the statement is signed by a key of the third-party invite every server
// verifies (M-42); that the key has not been revoked only this one (M-43).
func (s *Server) redeem(ctx context.Context, d redemption) error {
	token, _ := d.signed.Get("token").Text()
	published, err := s.engine.StateEvent(ctx, d.room, event.StateKey{Type: "m.room.third_party_invite", Key: token})
	if err != nil {
		return err
	}
	if published == nil {
		return forbidden("the room has no such third-party invite")
	}
	if err := s.checkRevocation(ctx, auth.RedeemingKeys(d.signed, published.Content())); err != nil {
		return err
	}
	displayName, _ := published.Content().Get("display_name").Text()
	draft, err := draftOf(d.sender, d.target, d.content(displayName))
	if err != nil {
		return err
	}
	_, err = s.invite(ctx, d.room, draft)
	if refused := (*pdu.NotAllowed)(nil); errors.As(err, &refused) {
		return forbidden("%v", refused)
	}
	return relayed(inviteRefusal(err))
}

// relayed is the failure of another server as an answer of ours: a refusal in its own words.
func relayed(err error) error {
	failure, failed := errors.AsType[*transport.Failure](err)
	switch {
	case !failed:
		return err
	case failure.Status == http.StatusForbidden:
		return &transport.Error{Status: failure.Status, Code: failure.Code, Message: failure.Message}
	}
	return &transport.Error{Status: http.StatusBadGateway, Code: spec.ErrorUnknown, Message: "the other server did not take the invitation"}
}

// checkRevocation is nil when one of the keys is still valid, as who published it says (M-43).
func (s *Server) checkRevocation(ctx context.Context, keys []auth.InviteKey) error {
	if len(keys) == 0 {
		return forbidden("no key of the third-party invite has signed this")
	}
	var fault error = forbidden("the key of the third-party invite has been revoked")
	for _, key := range keys[:min(len(keys), maxValidityAsked)] {
		if key.ValidityURL == "" {
			return nil
		}
		valid, err := s.isValid(ctx, key)
		if valid {
			return nil
		}
		if err != nil {
			fault = &transport.Error{Status: http.StatusBadGateway, Code: spec.ErrorUnknown, Message: "it could not be asked whether the key of the third-party invite is valid"}
		}
	}
	return fault
}

// isValid asks where the room says. The address is used as it is given.
func (s *Server) isValid(ctx context.Context, key auth.InviteKey) (bool, error) {
	address, err := url.Parse(key.ValidityURL)
	if err != nil {
		return false, err
	}
	query := address.Query()
	query.Set("public_key", key.Text)
	address.RawQuery = query.Encode()
	stream, err := s.client.Fetch(ctx, address.String(), maxValidityReply, validityPatience)
	if err != nil {
		return false, err
	}
	defer stream.Close()
	body, err := io.ReadAll(stream)
	if err != nil {
		return false, err
	}
	root, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	if err != nil {
		return false, err
	}
	valid, _ := root.Get("valid").Bool()
	return valid, nil
}
