// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// applicationService is the type of an application service's request, of which there are none.
const applicationService = "m.login.application_service"

// register is POST /register.
func (a *Accounts) register(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body struct {
		Type         string `json:"type"`
		Username     string `json:"username"`
		Password     string `json:"password"`
		InhibitLogin bool   `json:"inhibit_login"`
		wanted
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if err := a.mayRegister(r, body.Type); err != nil {
		return api.Reply{}, err
	}
	user, err := a.free(ctx, body.Username)
	if err != nil {
		return api.Reply{}, err
	}
	e, err := body.entryOf(user)
	if err != nil {
		return api.Reply{}, err
	}
	if err := a.interactive.open(r, "register"); err != nil {
		return api.Reply{}, err
	}
	if err := checkPassword("password", body.Password); err != nil {
		return api.Reply{}, err
	}
	if err := a.registrations.admit(addressOf(r.Remote), time.Now()); err != nil {
		return api.Reply{}, err
	}
	return a.create(ctx, e, body.Password, false, !body.InhibitLogin)
}

// mayRegister tells who cannot register in this way.
func (a *Accounts) mayRegister(r *api.Request, kind string) error {
	switch r.Query.Get("kind") {
	case "", "user":
	case "guest":
		return &api.Error{Status: http.StatusForbidden, Code: "M_GUEST_ACCESS_FORBIDDEN", Message: "there are no guests on this server"}
	default:
		return api.InvalidParam("kind: user or guest")
	}
	if kind == applicationService {
		return unknownToken("no application service is known here", false)
	}
	if !a.policy.Registration {
		return api.Forbidden("registration is not open on this server")
	}
	return nil
}

// available is GET /register/available.
func (a *Accounts) available(ctx context.Context, r *api.Request) (api.Reply, error) {
	name := r.Query.Get("username")
	if name == "" {
		return api.Reply{}, api.MissingParam("username")
	}
	if _, err := a.free(ctx, name); err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]bool{"available": true})
}

// free gives the user of a name that can be had, of any name for "".
func (a *Accounts) free(ctx context.Context, name string) (ident.UserID, error) {
	if name == "" {
		name = randomName(12)
	}
	user, err := newUser(name, a.self)
	if err != nil {
		return "", &api.Error{Status: http.StatusBadRequest, Code: "M_INVALID_USERNAME", Message: err.Error()}
	}
	var taken account
	err = a.store.View(ctx, func(tx *persistence.Tx) (err error) {
		taken, err = accountOf(tx, user)
		return err
	})
	if err == nil && taken.user != "" {
		return "", inUse(user)
	}
	return user, err
}

func inUse(user ident.UserID) error {
	return &api.Error{Status: http.StatusBadRequest, Code: "M_USER_IN_USE", Message: string(user) + " is taken"}
}

// create makes a user and, with login, lets them in.
func (a *Accounts) create(ctx context.Context, e entry, password string, admin, login bool) (api.Reply, error) {
	hash, err := a.passwords.Hash(ctx, password)
	if err != nil {
		return api.Reply{}, err
	}
	made, now := welcome{User: e.user, Server: a.self}, time.Now()
	err = a.store.Update(ctx, func(tx *persistence.Tx) error {
		if err := insertUser(tx, account{user: e.user, password: hash, admin: admin}, now); err != nil {
			return err
		}
		for _, w := range a.witnesses {
			if err := w.UserRegistered(tx, e.user); err != nil {
				return err
			}
		}
		if login {
			made, err = a.admit(tx, e, now)
		}
		return err
	})
	if errors.Is(err, errTaken) {
		return api.Reply{}, inUse(e.user)
	}
	if err != nil {
		return api.Reply{}, err
	}
	if !login {
		return api.JSON(struct {
			User   ident.UserID     `json:"user_id"`
			Server ident.ServerName `json:"home_server"`
		}{e.user, a.self})
	}
	return api.JSON(made)
}

func checkPassword(member, password string) error {
	switch {
	case password == "":
		return api.MissingParam(member)
	case len(password) > maxPassword:
		return api.InvalidParam("%s: at most %d bytes", member, maxPassword)
	}
	return nil
}

// randomName is a name of n characters, each of five random bits.
func randomName(n int) string {
	random := make([]byte, n)
	_, _ = rand.Read(random) // never fails
	return strings.ToLower(base32.StdEncoding.EncodeToString(random)[:n])
}

func newDeviceID() string { return strings.ToUpper(randomName(10)) }
