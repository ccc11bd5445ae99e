// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// Template is the unsigned event that make_join, make_leave and make_knock are answered with: on our extremities, and allowed by
// our state. *transport.Error when it is refused.
func (e *Engine) Template(ctx context.Context, id ident.RoomID, d Draft) ([]byte, *event.Version, error) {
	var template []byte
	var version *event.Version
	err := e.do(ctx, id, false, func(b *batch) error {
		if err := b.mustBeJoined(); err != nil {
			return notFound("this server is not in the room")
		}
		if err := b.head.servesState(); err != nil {
			return err
		}
		p, before, err := b.proto(d)
		if err != nil {
			return err
		}
		// The rules look at no signature: ours makes an event of the draft that they can be asked about.
		trial, err := event.Build(b.head.version, p, b.e.self, b.e.key.SigningKey())
		if err != nil {
			return refuse(http.StatusBadRequest, spec.ErrorBadJSON, "%v", err)
		}
		if result, err := b.checkAt(trial, before); err != nil || !result.OK {
			return errors.Join(err, refusalOf(result))
		}
		version = b.head.version
		template, err = event.Template(version, p)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("template for %s: %w", id, err)
	}
	return template, version, nil
}

func refusalOf(result auth.Result) error {
	if result.OK {
		return nil
	}
	return refuse(http.StatusForbidden, spec.ErrorForbidden, "%s (%s)", result.Detail, result.Rule)
}

// AcceptMembership is the resident's side of send_join, send_leave and send_knock: the event is checked (M-06), signed by this
// server too if it vouches for the join (M-14; the caller has checked that it may), judged, stored and queued for the other
// servers of the room. An event that was accepted before gets the same answer again. *transport.Error when it is refused.
func (e *Engine) AcceptMembership(ctx context.Context, origin ident.ServerName, h Handover, wire []byte) (Admission, error) {
	admission, err := e.acceptMembership(ctx, origin, h, wire)
	if err != nil {
		return Admission{}, fmt.Errorf("accept %s of %s in %s: %w", h.Membership, origin, h.Room, err)
	}
	return admission, nil
}

func (e *Engine) acceptMembership(ctx context.Context, origin ident.ServerName, h Handover, wire []byte) (Admission, error) {
	head, err := e.readHead(ctx, h.Room, false)
	if err != nil {
		return Admission{}, err
	}
	if head == nil || head.membership != Joined {
		return Admission{}, notFound("this server is not in the room")
	}
	if err := head.servesState(); err != nil {
		return Admission{}, err
	}
	member, err := e.readMembership(ctx, head.version, origin, h, wire)
	if err != nil {
		return Admission{}, err
	}
	var admitted *record
	var before *room
	build := func(*batch) (*event.Event, error) { return member, nil }
	err = e.acceptSigned(ctx, h.Room, build, func(b *batch, member *event.Event) error {
		if err := b.countMembers(); err != nil {
			return err
		}
		head := b.head
		before = &head
		admitted, err = b.admit(member, origin)
		return err
	})
	if unsigned := (*PolicyError)(nil); errors.As(err, &unsigned) {
		return Admission{}, unsigned.refusal()
	}
	if err != nil {
		return Admission{}, err
	}
	return e.admission(ctx, admitted, before, h.OmitMembers)
}

// readMembership checks the event without looking at the room's state.
func (e *Engine) readMembership(ctx context.Context, v *event.Version, origin ident.ServerName, h Handover, wire []byte) (*event.Event, error) {
	member, err := event.Parse(v, wire)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, spec.ErrorBadJSON, "%v", err)
	}
	key, _ := member.StateKey()
	content, isMember := member.Membership()
	switch {
	case member.ID() != h.EventID:
		return nil, invalidParam("the event is %s, not %s", member.ID(), h.EventID)
	case member.RoomID() != h.Room:
		return nil, invalidParam("the event is of room %s, not %s", member.RoomID(), h.Room)
	case !isMember || content.Membership != h.Membership:
		return nil, invalidParam("not an m.room.member event with membership %s", h.Membership)
	case key != string(member.Sender()):
		return nil, invalidParam("the state key %s is not the sender %s", key, member.Sender())
	case member.Sender().Server() != origin:
		return nil, invalidParam("the sender %s is not a user of %s", member.Sender(), origin)
	}
	if v.Restricted && content.Membership == "join" && ident.UserID(content.AuthorisedVia).Server() == e.self {
		if member, err = member.Sign(e.self, e.key.SigningKey()); err != nil {
			return nil, refuse(http.StatusBadRequest, spec.ErrorBadJSON, "%v", err)
		}
	}
	err = event.VerifySignatures(ctx, []*event.Event{member}, e.keys)[0]
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	if errors.Is(err, event.ErrNoKey) { // it may be had later: the joiner is to try again, not to give up
		return nil, refuse(http.StatusServiceUnavailable, spec.ErrorUnknown, "%v", err)
	}
	if err != nil {
		return nil, refuse(http.StatusForbidden, spec.ErrorForbidden, "%v", err)
	}
	return member, nil
}

// admit judges a handed-over event. One that is in the graph has been judged: if it was accepted it is given back as it is.
func (b *batch) admit(member *event.Event, origin ident.ServerName) (*record, error) {
	if err := b.mustBeJoined(); err != nil {
		return nil, notFound("this server is not in the room")
	}
	r, err := b.record(member.ID())
	if err != nil {
		return nil, err
	}
	if r != nil && r.inGraph && r.outcome == Accepted {
		return r, nil
	}
	if r != nil && r.inGraph {
		return nil, refuse(http.StatusForbidden, spec.ErrorForbidden, "the event has been %s before", r.outcome)
	}
	missing, _, err := b.missing(&record{event: member}, false)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		return nil, invalidParam("the event references %s, which is not known here", missing[0].ID)
	}
	r, err = b.accept(member, origin)
	var refused *NotAllowed
	if errors.As(err, &refused) {
		check := refused.Verdict.Decisive()
		return nil, refuse(http.StatusForbidden, spec.ErrorForbidden, "%s (%s)", check.Detail, check.Rule)
	}
	return r, err
}

// admission gathers the answer, when the event is durable.
func (e *Engine) admission(ctx context.Context, admitted *record, before *room, omitMembers bool) (Admission, error) {
	a := Admission{Event: admitted.event, ServersInRoom: slices.Sorted(maps.Keys(before.servers))}
	if member, _ := admitted.event.Membership(); member.Membership != "join" {
		return a, nil // nobody else is told the state
	}
	state, err := e.stateIDs(ctx, admitted.before)
	if err != nil {
		return Admission{}, err
	}
	a.StateBefore = slices.Collect(maps.Values(state))
	if a.MembersOmitted = omitMembers; omitMembers {
		if a.StateBefore, err = e.stateWithoutMembers(ctx, state, admitted.event.Sender()); err != nil {
			return Admission{}, err
		}
	}
	a.AuthChain, err = e.authChain(ctx, append(slices.Clone(a.StateBefore), a.Event.ID()), nil)
	if omitMembers {
		a.AuthChain = without(a.AuthChain, a.StateBefore)
	}
	return a, err
}

func refuse(status int, code spec.MatrixErrorCode, format string, args ...any) *transport.Error {
	return &transport.Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func invalidParam(format string, args ...any) *transport.Error {
	return refuse(http.StatusBadRequest, spec.ErrorInvalidParam, format, args...)
}

// required refuses a request that lacks a parameter.
func required(query url.Values, names ...string) error {
	for _, name := range names {
		if !query.Has(name) {
			return refuse(http.StatusBadRequest, spec.ErrorMissingParam, "%s is missing", name)
		}
	}
	return nil
}

func notFound(format string, args ...any) *transport.Error {
	return refuse(http.StatusNotFound, spec.ErrorNotFound, format, args...)
}
