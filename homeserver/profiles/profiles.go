// SPDX-License-Identifier: Apache-2.0

package profiles

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Asker asks other servers for profiles of their users. *messaging.Server is one.
type Asker interface {
	QueryProfile(ctx context.Context, user ident.UserID, field string) (map[string]json.RawMessage, error)
}

// Rooms shows users in the rooms that they are in.
type Rooms interface {
	// JoinedRooms lists the rooms that a user of ours is joined to.
	JoinedRooms(ctx context.Context, user ident.UserID) ([]ident.RoomID, error)
	// ShowProfile brings a user's membership of a room up to date, if it is not. An error that has to do with that room only is nil.
	ShowProfile(ctx context.Context, room ident.RoomID, user ident.UserID) error
}

// Config is what Profiles are made of; all of it is needed.
type Config struct {
	Self  ident.ServerName
	Store *persistence.Store // its annex has Schema
	Asker Asker
	Rooms Rooms
}

// Profiles serves profiles, and has rooms show what changes in them.
type Profiles struct {
	accounts.Bystander
	self  ident.ServerName
	store *persistence.Store
	asker Asker
	rooms Rooms
	news  chan struct{} // of one; a change waits for Run
}

// New makes profiles of what stands in the store. Rooms show changes while Run runs.
func New(cfg Config) *Profiles {
	return &Profiles{self: cfg.Self, store: cfg.Store, asker: cfg.Asker, rooms: cfg.Rooms, news: make(chan struct{}, 1)}
}

// Routes are the endpoints.
func (p *Profiles) Routes() []api.Route {
	const all, one = "/_matrix/client/v3/profile/{userID}", "/_matrix/client/v3/profile/{userID}/{field}"
	return []api.Route{
		{Method: "GET", Pattern: all, Open: true, Handle: p.get},
		{Method: "GET", Pattern: one, Open: true, Handle: p.get},
		{Method: "PUT", Pattern: one, Handle: p.put},
		{Method: "DELETE", Pattern: one, Handle: p.remove},
	}
}

func (p *Profiles) get(ctx context.Context, r *api.Request) (api.Reply, error) {
	user, err := ident.ParseUserID(r.Param("userID"))
	if err != nil {
		return api.Reply{}, api.InvalidParam("%v", err)
	}
	field := r.Param("field")
	fields, err := p.fields(ctx, user, field)
	if err != nil {
		return api.Reply{}, err
	}
	if field == "" {
		return api.JSON(fields)
	}
	value, found := fields[field]
	if !found || bytes.Equal(value, []byte("null")) {
		return api.Reply{}, api.NotFound("%s has no %s", user, field)
	}
	return api.JSON(map[string]json.RawMessage{field: value})
}

// fields gives the profile of a user of ours, or of another server, of which only a field may be asked for.
func (p *Profiles) fields(ctx context.Context, user ident.UserID, field string) (map[string]json.RawMessage, error) {
	if user.Server() == p.self {
		fields, found, err := NewBook(p.store).Profile(ctx, user)
		if err == nil && !found {
			err = api.NotFound("there is no user %s", user)
		}
		return fields, err
	}
	fields, err := p.asker.QueryProfile(ctx, user, field)
	if failure := (*transport.Failure)(nil); errors.As(err, &failure) && (failure.Status == http.StatusNotFound || failure.Status == http.StatusForbidden) {
		return nil, api.NotFound("%s says that there is no such user or field", user.Server())
	} else if failure != nil {
		return nil, &api.Error{Status: http.StatusBadGateway, Code: "M_UNKNOWN", Message: "the server of " + string(user) + " does not answer: " + failure.Error()}
	}
	return fields, err
}

// grammar is what a field other than the usual three is called: a name with a namespace ("Common Namespaced Identifier Grammar").
var grammar = regexp.MustCompile(`^[a-z][a-z0-9._-]*$`)

// readField reads the value that a client gives a field.
func readField(r *api.Request) (json.RawMessage, error) {
	field := r.Param("field")
	var members map[string]json.RawMessage
	if err := r.Decode(&members); err != nil {
		return nil, err
	}
	if len(field) > maxField {
		return nil, &api.Error{Status: http.StatusBadRequest, Code: "M_KEY_TOO_LARGE", Message: "the name of a field has at most 255 bytes"}
	}
	if !grammar.MatchString(field) {
		return nil, api.InvalidParam("%q cannot be the name of a field", field)
	}
	given, found := members[field]
	if !found {
		return nil, api.MissingParam(field)
	}
	value, err := canonicaljson.Canonicalize(given, canonicaljson.Lenient)
	if err != nil {
		return nil, api.BadJSON("%s: %v", field, err)
	}
	limit := map[string]int{displayName: maxName, avatarURL: maxURL}[field]
	if limit == 0 {
		return value, nil
	}
	var text *string
	if err := json.Unmarshal(value, &text); err != nil {
		return nil, api.BadJSON("%s is not a string", field)
	}
	switch {
	case text == nil || *text == "":
		return nil, nil
	case len(*text) > limit || strings.ContainsRune(*text, 0):
		return nil, api.InvalidParam("%s has at most %d bytes, and no NUL", field, limit)
	}
	return value, nil
}

func (p *Profiles) put(ctx context.Context, r *api.Request) (api.Reply, error) {
	if err := own(r); err != nil {
		return api.Reply{}, err
	}
	value, err := readField(r)
	if err != nil {
		return api.Reply{}, err
	}
	return api.Reply{}, p.set(ctx, r.User, r.Param("field"), value)
}

func (p *Profiles) remove(ctx context.Context, r *api.Request) (api.Reply, error) {
	if err := own(r); err != nil {
		return api.Reply{}, err
	}
	return api.Reply{}, p.set(ctx, r.User, r.Param("field"), nil)
}

func own(r *api.Request) error {
	if r.Param("userID") != string(r.User) {
		return api.Forbidden("only %s can change their profile", r.Param("userID"))
	}
	return nil
}

func (p *Profiles) set(ctx context.Context, user ident.UserID, field string, value json.RawMessage) error {
	return p.store.Update(ctx, func(tx *persistence.Tx) error {
		changes, err := set(tx, user, field, value)
		if err != nil || !changes || field != displayName && field != avatarURL {
			return err
		}
		tx.AfterCommit(p.wake)
		return noteChange(tx, user)
	})
}

func (p *Profiles) wake() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// Run has rooms show changed profiles until ctx ends: first those of which the end of the process kept it. An error is the store's.
func (p *Profiles) Run(ctx context.Context) error {
	for {
		worked, err := p.showNext(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if worked {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.news:
		}
	}
}

// showNext works off one change. It tells whether there was one.
func (p *Profiles) showNext(ctx context.Context) (worked bool, err error) {
	var next change
	err = p.store.View(ctx, func(tx *persistence.Tx) (err error) {
		next, worked, err = nextChange(tx)
		return err
	})
	if err != nil || !worked {
		return false, err
	}
	rooms, err := p.rooms.JoinedRooms(ctx, next.user)
	if err != nil {
		return false, err
	}
	for _, room := range rooms {
		if err := p.rooms.ShowProfile(ctx, room, next.user); err != nil {
			return false, err
		}
	}
	return true, p.store.Update(ctx, next.shown)
}

// UserDeactivated implements accounts.Witness.
func (p *Profiles) UserDeactivated(tx *persistence.Tx, user ident.UserID) error {
	for _, query := range []string{`DELETE FROM hs_profiles WHERE user = ?`, `DELETE FROM hs_profile_changes WHERE user = ?`} {
		if _, err := tx.Exec(query, string(user)); err != nil {
			return err
		}
	}
	return nil
}
