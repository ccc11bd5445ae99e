// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" // the protocol's; HMAC does not need it to resist collisions
	"encoding/hex"
	"net/http"
	"sync"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
)

// giveNonce is GET /_synapse/admin/v1/register (Synapse's admin API, "Shared-Secret Registration").
func (a *Accounts) giveNonce(context.Context, *api.Request) (api.Reply, error) {
	if err := a.hasSecret(); err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]string{"nonce": a.nonces.give(time.Now())})
}

// registerWithSecret is its POST.
func (a *Accounts) registerWithSecret(ctx context.Context, r *api.Request) (api.Reply, error) {
	if err := a.hasSecret(); err != nil {
		return api.Reply{}, err
	}
	var body struct {
		Nonce    string `json:"nonce"`
		Username string `json:"username"`
		Password string `json:"password"`
		Admin    bool   `json:"admin"`
		UserType string `json:"user_type"`
		MAC      string `json:"mac"`
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if body.Username == "" {
		return api.Reply{}, api.MissingParam("username")
	}
	if err := checkPassword("password", body.Password); err != nil {
		return api.Reply{}, err
	}
	if !a.nonces.spend(body.Nonce, time.Now()) {
		return api.Reply{}, &api.Error{Status: http.StatusBadRequest, Code: "M_UNKNOWN", Message: "the nonce is not valid: each is good once, for a minute"}
	}
	mac, err := hex.DecodeString(body.MAC)
	if err != nil || !hmac.Equal(mac, secretMAC(a.policy.SharedSecret, body.Nonce, body.Username, body.Password, body.Admin, body.UserType)) {
		return api.Reply{}, api.Forbidden("the mac is not right")
	}
	user, err := a.free(ctx, body.Username)
	if err != nil {
		return api.Reply{}, err
	}
	e, err := wanted{}.entryOf(user)
	if err != nil {
		return api.Reply{}, err
	}
	return a.create(ctx, e, body.Password, body.Admin, true)
}

func (a *Accounts) hasSecret() error {
	if a.policy.SharedSecret == "" {
		return &api.Error{Status: http.StatusBadRequest, Code: "M_UNKNOWN", Message: "shared secret registration is not enabled"}
	}
	return nil
}

// secretMAC proves that who asks knows the secret.
func secretMAC(secret, nonce, user, password string, admin bool, userType string) []byte {
	mac := hmac.New(sha1.New, []byte(secret))
	role := "notadmin"
	if admin {
		role = "admin"
	}
	mac.Write([]byte(nonce + "\x00" + user + "\x00" + password + "\x00" + role))
	if userType != "" {
		mac.Write([]byte("\x00" + userType))
	}
	return mac.Sum(nil)
}

// nonces are given out once and taken once. Requests share them.
type nonces struct {
	mu    sync.Mutex
	given map[string]time.Time // until when each is good
}

func newNonces() *nonces { return &nonces{given: map[string]time.Time{}} }

// give makes a nonce. When there are too many, those that are good no more go, and if that is none, any.
func (n *nonces) give(now time.Time) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for nonce, until := range n.given {
		if until.Before(now) {
			delete(n.given, nonce)
		}
	}
	for nonce := range n.given {
		if len(n.given) < maxNonces {
			break
		}
		delete(n.given, nonce)
	}
	nonce := newToken()
	n.given[nonce] = now.Add(nonceTime)
	return nonce
}

func (n *nonces) spend(nonce string, now time.Time) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	until, found := n.given[nonce]
	delete(n.given, nonce)
	return found && now.Before(until)
}
