// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// The stages that there are. Every flow has one of them alone.
const (
	stageDummy    = "m.login.dummy"
	stagePassword = "m.login.password"
)

// Interactive has users prove once more who they are before something that cannot be undone (Client-Server API, "User-Interactive
// Authentication API"). Requests share it; the mutex is held for map accesses only.
type Interactive struct {
	self      ident.ServerName
	store     *persistence.Store
	passwords *Passwords
	attempts  *attempts

	mu       sync.Mutex
	sessions map[string]session
}

// session is one proof under way: it is good for one operation of one user.
type session struct {
	operation string
	user      ident.UserID
	expires   time.Time
}

// InteractiveConfig is what an Interactive is made of.
type InteractiveConfig struct {
	Self      ident.ServerName
	Store     *persistence.Store
	Passwords *Passwords
	Rate      Rate // of wrong passwords
}

// NewInteractive makes it.
func NewInteractive(cfg InteractiveConfig) *Interactive {
	return &Interactive{
		self: cfg.Self, store: cfg.Store, passwords: cfg.Passwords, attempts: newAttempts(cfg.Rate), sessions: map[string]session{},
	}
}

// proof is the member auth of a request.
type proof struct {
	Type       string     `json:"type"`
	Session    string     `json:"session"`
	Password   string     `json:"password"`
	User       string     `json:"user"` // before r0.5.0
	Identifier identifier `json:"identifier"`
}

// Confirm lets a request through in which the caller proves with their password that it is they; any other gets the *Error that asks
// for it. operation is what the proof is good for: it is not taken for another one.
func (i *Interactive) Confirm(ctx context.Context, r *api.Request, operation string) error {
	return i.ask(r, stagePassword, operation, func(p proof) (bool, error) { return i.isPassword(ctx, r, p) })
}

// open lets through who goes through a stage that asks for nothing.
func (i *Interactive) open(r *api.Request, operation string) error {
	return i.ask(r, stageDummy, operation, func(proof) (bool, error) { return true, nil })
}

// ask holds a request's proof against a stage.
func (i *Interactive) ask(r *api.Request, stage, operation string, check func(proof) (bool, error)) error {
	var body struct {
		Auth json.RawMessage `json:"auth"`
	}
	if err := r.Decode(&body); err != nil {
		return err
	}
	now := time.Now()
	if len(body.Auth) == 0 || string(body.Auth) == "null" {
		return i.demand(stage, i.begin(r.User, operation, now), nil)
	}
	var p proof
	if err := json.Unmarshal(body.Auth, &p); err != nil {
		return api.BadJSON("auth: %v", err)
	}
	known := p.Session == "" || i.valid(p.Session, r.User, operation, now)
	switch {
	case !known:
		p.Session = i.begin(r.User, operation, now)
		return i.demand(stage, p.Session, &api.Error{Code: "M_UNKNOWN", Message: "there is no such session, or not for this"})
	case p.Session == "":
		p.Session = i.begin(r.User, operation, now)
	}
	if p.Type != stage {
		return i.demand(stage, p.Session, &api.Error{Code: "M_UNRECOGNIZED", Message: "auth: this stage is in no flow"})
	}
	passed, err := check(p)
	if err != nil {
		return err
	}
	if !passed {
		return i.demand(stage, p.Session, &api.Error{Code: "M_FORBIDDEN", Message: "wrong user or password"})
	}
	i.end(p.Session)
	return nil
}

// demand is the answer that asks for a stage, with what was wrong before.
func (i *Interactive) demand(stage, session string, wrong *api.Error) *api.Error {
	type flow struct {
		Stages []string `json:"stages"`
	}
	if wrong == nil {
		wrong = &api.Error{}
	}
	wrong.Status = http.StatusUnauthorized
	wrong.Extra = map[string]any{"flows": []flow{{[]string{stage}}}, "params": map[string]any{}, "session": session}
	return wrong
}

// isPassword tells whether a proof has the caller's own password.
func (i *Interactive) isPassword(ctx context.Context, r *api.Request, p proof) (bool, error) {
	if p.Identifier.Type == "" {
		p.Identifier = identifier{Type: identifierUser, User: p.User}
	}
	if p.Identifier.Type != identifierUser || len(p.Password) > maxPassword {
		return false, nil
	}
	if user, err := userOf(p.Identifier.User, i.self); err != nil || user != r.User {
		return false, nil
	}
	if err := i.attempts.admit(string(r.User), time.Now()); err != nil {
		return false, err
	}
	var a account
	err := i.store.View(ctx, func(tx *persistence.Tx) (err error) {
		a, err = accountOf(tx, r.User)
		return err
	})
	if err != nil {
		return false, err
	}
	passed, err := i.passwords.Check(ctx, a.password, p.Password)
	if passed {
		i.attempts.forgive(string(r.User))
	}
	return passed, err
}

// begin makes a session. When there are too many, those that have expired go, and if that is none, any.
func (i *Interactive) begin(user ident.UserID, operation string, now time.Time) string {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.sessions) >= maxSessions {
		for id, s := range i.sessions {
			if s.expires.Before(now) {
				delete(i.sessions, id)
			}
		}
	}
	for id := range i.sessions {
		if len(i.sessions) < maxSessions {
			break
		}
		delete(i.sessions, id)
	}
	id := newToken()
	i.sessions[id] = session{operation: operation, user: user, expires: now.Add(sessionTime)}
	return id
}

func (i *Interactive) valid(id string, user ident.UserID, operation string, now time.Time) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	s, found := i.sessions[id]
	return found && s.user == user && s.operation == operation && now.Before(s.expires)
}

func (i *Interactive) end(id string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	delete(i.sessions, id)
}
