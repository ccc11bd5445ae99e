// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// createRoom is POST /createRoom.
func (r *Rooms) createRoom(ctx context.Context, q *api.Request) (api.Reply, error) {
	var w wanted
	if err := q.Decode(&w); err != nil {
		return api.Reply{}, err
	}
	room, err := r.create(ctx, q.User, w)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	return api.JSON(map[string]ident.RoomID{"room_id": room})
}

// create makes the room, in one job with its alias and its place in the directory, and then invites.
func (r *Rooms) create(ctx context.Context, creator ident.UserID, w wanted) (ident.RoomID, error) {
	p, alias, err := r.planOf(ctx, creator, w)
	if err != nil {
		return "", err
	}
	join, err := r.memberContent(ctx, creator, "join", "")
	if err != nil {
		return "", err
	}
	first, err := p.drafts(creator, join)
	if err != nil {
		return "", err
	}
	first[0].Kept = func(tx *persistence.Tx, e *event.Event) error {
		if alias != "" {
			if err := addAlias(tx, alias, e.RoomID(), creator); err != nil {
				return err
			}
		}
		if w.Visibility == "public" {
			return publish(tx, e.RoomID())
		}
		return nil
	}
	room, err := r.server.FoundRoom(ctx, messaging.Founding{Creator: creator, Version: p.version.ID, Content: p.creation, First: first})
	if err != nil {
		return "", refusedRoom(err)
	}
	r.inviteAll(ctx, room, creator, p.invites, w.IsDirect)
	return room, nil
}

// planOf checks what is wanted, and plans it.
func (r *Rooms) planOf(ctx context.Context, creator ident.UserID, w wanted) (p plan, alias ident.RoomAlias, err error) {
	if err := w.check(); err != nil {
		return plan{}, "", err
	}
	name := r.defaultVersion
	if w.RoomVersion != nil {
		name = *w.RoomVersion
	}
	version, known := event.VersionOf(name)
	if !known {
		return plan{}, "", &api.Error{
			Status: http.StatusBadRequest, Code: "M_UNSUPPORTED_ROOM_VERSION", Message: fmt.Sprintf("room version %.40q is not known here", name),
		}
	}
	var invites []ident.UserID
	for _, text := range w.Invite {
		user, err := ident.ParseUserID(text)
		if err != nil {
			return plan{}, "", api.InvalidParam("invite: %v", err)
		}
		if user != creator && !slices.Contains(invites, user) {
			invites = append(invites, user)
		}
	}
	if w.AliasName != "" {
		if alias, err = r.freeAlias(ctx, w.AliasName); err != nil {
			return plan{}, "", err
		}
	}
	if p, err = planRoom(w, version, creator, invites, alias); err != nil {
		return plan{}, "", api.BadJSON("%v", err)
	}
	return p, alias, nil
}

// check finds what is wrong with the body by itself.
func (w wanted) check() error {
	switch {
	case w.Visibility != "" && w.Visibility != "public" && w.Visibility != "private":
		return api.BadJSON("visibility is public or private, not %.40q", w.Visibility)
	case len(w.Invite) > maxInvites:
		return api.InvalidParam("at most %d users can be invited at once", maxInvites)
	case len(w.InitialState) > maxInitialState:
		return api.InvalidParam("at most %d state events can be given", maxInitialState)
	case len(w.InviteThirdly) > 0:
		return errNoIdentityServer
	}
	for _, s := range w.InitialState {
		if s.Type == "" {
			return api.BadJSON("initial_state: an event has no type")
		}
		if len(s.Content) == 0 {
			return api.BadJSON("initial_state: %s has no content", s.Type)
		}
	}
	return nil
}

// drafts are the first events after the create event.
func (p plan) drafts(creator ident.UserID, join map[string]any) ([]pdu.Draft, error) {
	all := append([]messaging.State{{Type: "m.room.member", Key: string(creator), Content: join}}, p.states...)
	drafts := make([]pdu.Draft, len(all))
	for i, state := range all {
		content, err := json.Marshal(state.Content)
		if err != nil {
			return nil, fmt.Errorf("content of %s: %w", state.Type, err)
		}
		if content, err = canonicaljson.Canonicalize(content, canonicaljson.Strict); err != nil || content[0] != '{' {
			return nil, api.BadJSON("the content of %s is no object of canonical JSON", state.Type)
		}
		drafts[i] = pdu.Draft{Type: state.Type, StateKey: &state.Key, Content: content}
	}
	return drafts, nil
}

// refusedRoom is the refusal of a room whose first state its own rules do not allow.
func refusedRoom(err error) error {
	notAllowed, ok := errors.AsType[*pdu.NotAllowed](err)
	if !ok {
		return err
	}
	return &api.Error{
		Status: http.StatusBadRequest, Code: "M_INVALID_ROOM_STATE",
		Message: "the rules of the new room refuse its first state: " + notAllowed.Verdict.Decisive().Detail,
	}
}
