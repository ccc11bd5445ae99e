// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// identifier says who somebody is (Client-Server API, "Identifier types").
type identifier struct {
	Type string `json:"type"`
	User string `json:"user"`
}

// identifierUser is the type of an identifier with a name or a user id: the others are of what this server does not know.
const identifierUser = "m.id.user"

// loginFlows is GET /login.
func (a *Accounts) loginFlows(context.Context, *api.Request) (api.Reply, error) {
	return api.JSON(map[string][]map[string]string{"flows": {{"type": stagePassword}}})
}

// login is POST /login.
func (a *Accounts) login(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body struct {
		Type       string     `json:"type"`
		Identifier identifier `json:"identifier"`
		User       string     `json:"user"`   // deprecated
		Medium     string     `json:"medium"` // likewise
		Password   string     `json:"password"`
		wanted
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if body.Type == "" {
		return api.Reply{}, api.MissingParam("type")
	}
	if body.Type == applicationService {
		return api.Reply{}, unknownToken("no application service is known here", false)
	}
	if body.Type != stagePassword {
		return api.Reply{}, &api.Error{Status: http.StatusBadRequest, Code: "M_UNKNOWN", Message: "the login type is not one of this server's"}
	}
	if body.Identifier.Type == "" && body.Medium == "" {
		body.Identifier = identifier{Type: identifierUser, User: body.User}
	}
	user, err := a.named(body.Identifier)
	if err != nil {
		return api.Reply{}, err
	}
	if err := checkPassword("password", body.Password); err != nil {
		return api.Reply{}, err
	}
	e, err := body.entryOf(user)
	if err != nil {
		return api.Reply{}, err
	}
	if err := a.prove(ctx, user, body.Password, r.Remote); err != nil {
		return api.Reply{}, err
	}
	return a.enter(ctx, e)
}

// named is the user that an identifier means, whether there is one or not.
func (a *Accounts) named(id identifier) (ident.UserID, error) {
	if id.Type != identifierUser {
		return "", api.Forbidden("only users are known here, by %s", identifierUser)
	}
	if id.User == "" {
		return "", api.MissingParam("identifier.user")
	}
	user, err := userOf(id.User, a.self)
	if err != nil {
		return "", wrongPassword() // as of one that there is not
	}
	return user, nil
}

// wrongPassword does not tell whether there is such a user.
func wrongPassword() error { return api.Forbidden("wrong user or password") }

// prove checks a password. Attempts are counted by address, and by user until one succeeds.
func (a *Accounts) prove(ctx context.Context, user ident.UserID, password, remote string) error {
	now := time.Now()
	if err := a.logins.admit(addressOf(remote), now); err != nil {
		return err
	}
	if err := a.logins.admit(string(user), now); err != nil {
		return err
	}
	var known account
	err := a.store.View(ctx, func(tx *persistence.Tx) (err error) {
		known, err = accountOf(tx, user)
		return err
	})
	if err != nil {
		return err
	}
	if known.deactivated != 0 {
		return &api.Error{Status: http.StatusForbidden, Code: "M_USER_DEACTIVATED", Message: "this account has been deactivated"}
	}
	passed, err := a.passwords.Check(ctx, known.password, password)
	if err != nil {
		return err
	}
	if !passed {
		return wrongPassword()
	}
	a.logins.forgive(string(user))
	return nil
}

// enter lets a user in whose password was right.
func (a *Accounts) enter(ctx context.Context, e entry) (api.Reply, error) {
	var made welcome
	err := a.store.Update(ctx, func(tx *persistence.Tx) error {
		known, err := Known(tx, e.user) // they may have gone meanwhile
		if err == nil && !known {
			err = errNoUser
		}
		if err == nil {
			made, err = a.admit(tx, e, time.Now())
		}
		return err
	})
	if errors.Is(err, errNoUser) {
		return api.Reply{}, wrongPassword()
	}
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(made)
}

// errNoUser: the user was deactivated while something was done for them.
var errNoUser = errors.New("no such user")

// logout is POST /logout: the device goes, with all that it has.
func (a *Accounts) logout(ctx context.Context, r *api.Request) (api.Reply, error) {
	return api.Reply{}, a.store.Update(ctx, func(tx *persistence.Tx) error {
		return a.removeDevices(tx, r.User, []string{r.Device})
	})
}

// logoutAll is POST /logout/all.
func (a *Accounts) logoutAll(ctx context.Context, r *api.Request) (api.Reply, error) {
	return api.Reply{}, a.store.Update(ctx, func(tx *persistence.Tx) error { return a.removeOtherDevices(tx, r.User, "") })
}

// whoami is GET /account/whoami.
func (a *Accounts) whoami(_ context.Context, r *api.Request) (api.Reply, error) {
	return api.JSON(struct {
		User   ident.UserID `json:"user_id"`
		Device string       `json:"device_id"`
		Guest  bool         `json:"is_guest"`
	}{r.User, r.Device, r.Guest})
}
