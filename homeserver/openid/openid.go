// SPDX-License-Identifier: Apache-2.0

package openid

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"time"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Schema is the table of this package, a step of the homeserver's annex.
const Schema = `
CREATE TABLE hs_openid (
	token   BLOB    PRIMARY KEY, -- SHA-256
	user    TEXT    NOT NULL,
	expires INTEGER NOT NULL -- ms
) STRICT, WITHOUT ROWID;
CREATE INDEX hs_openid_expires ON hs_openid (expires);`

// validFor is how long a token is good: as long as what it is shown for takes.
const validFor = time.Hour

// OpenID gives tokens and knows whose they are.
type OpenID struct {
	accounts.Bystander
	self  ident.ServerName
	store *persistence.Store
}

var (
	_ messaging.OpenID = (*OpenID)(nil)
	_ accounts.Witness = (*OpenID)(nil)
)

// New makes it of what stands in the store.
func New(self ident.ServerName, store *persistence.Store) *OpenID {
	return &OpenID{self: self, store: store}
}

// Routes are the endpoints.
func (o *OpenID) Routes() []api.Route {
	return []api.Route{{Method: "POST", Pattern: "/_matrix/client/v3/user/{userID}/openid/request_token", Handle: o.give}}
}

func (o *OpenID) give(ctx context.Context, r *api.Request) (api.Reply, error) {
	if r.Param("userID") != string(r.User) {
		return api.Reply{}, api.Forbidden("only %s can prove to be they", r.Param("userID"))
	}
	token, now := rand.Text(), time.Now()
	hash := sha256.Sum256([]byte(token))
	err := o.store.Update(ctx, func(tx *persistence.Tx) error {
		if _, err := tx.Exec(`DELETE FROM hs_openid WHERE expires <= ?`, now.UnixMilli()); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO hs_openid (token, user, expires) VALUES (?, ?, ?)`, hash[:], string(r.User), now.Add(validFor).UnixMilli())
		return err
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]any{
		"access_token": token, "token_type": "Bearer", "matrix_server_name": o.self, "expires_in": int64(validFor / time.Second),
	})
}

// OpenIDUser implements messaging.OpenID.
func (o *OpenID) OpenIDUser(ctx context.Context, token string) (user ident.UserID, found bool, err error) {
	hash := sha256.Sum256([]byte(token))
	err = o.store.View(ctx, func(tx *persistence.Tx) (err error) {
		found, err = tx.QueryRow(`SELECT user FROM hs_openid WHERE token = ? AND expires > ?`, []any{hash[:], time.Now().UnixMilli()}, &user)
		return err
	})
	return user, found, err
}

// UserDeactivated implements accounts.Witness.
func (o *OpenID) UserDeactivated(tx *persistence.Tx, user ident.UserID) error {
	_, err := tx.Exec(`DELETE FROM hs_openid WHERE user = ?`, string(user))
	return err
}
