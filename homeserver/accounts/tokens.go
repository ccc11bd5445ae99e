// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// A refresh makes the next generation of a device's tokens. The one before is good until the new one is first used (Client-Server
// API, "Refreshing access tokens").
const tokensSchema = `
CREATE TABLE hs_tokens (
	hash       BLOB    PRIMARY KEY, -- SHA-256; the token itself is nowhere
	refresh    INTEGER NOT NULL,    -- 1: fit for a refresh only
	user       TEXT    NOT NULL,
	device     TEXT    NOT NULL,
	generation INTEGER NOT NULL,    -- of the device's tokens
	expires    INTEGER NOT NULL     -- ms; 0: never
) STRICT, WITHOUT ROWID;
CREATE INDEX hs_tokens_device ON hs_tokens (user, device, generation);`

// tokenHash is what is kept of a token.
type tokenHash [sha256.Size]byte

func hashOf(token string) tokenHash { return sha256.Sum256([]byte(token)) }

// grant is a token as it is kept.
type grant struct {
	refresh    bool
	user       ident.UserID
	device     string
	generation int64
	expires    int64 // ms; 0: never
	admin      bool
	older      bool // there are tokens of the generation before, which end when this one is used
}

func (g grant) expired(now time.Time) bool { return g.expires != 0 && g.expires <= now.UnixMilli() }

// newToken makes a token of 256 random bits.
func newToken() string {
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	return base64.RawURLEncoding.EncodeToString(random)
}

// Caller implements api.Tokens.
func (a *Accounts) Caller(ctx context.Context, token string) (api.Caller, error) {
	hash, now := hashOf(token), time.Now()
	g, found := a.cache.get(hash)
	if !found {
		var err error
		if g, found, err = a.use(ctx, hash, now); err != nil {
			return api.Caller{}, err
		}
	}
	switch {
	case !found || g.refresh:
		return api.Caller{}, unknownToken("the access token is not valid", false)
	case g.expired(now):
		return api.Caller{}, unknownToken("the access token has expired", true)
	}
	return api.Caller{User: g.user, Device: g.device, Admin: g.admin, Token: token}, nil
}

// use finds a token in the store; the generation before it ends.
func (a *Accounts) use(ctx context.Context, hash tokenHash, now time.Time) (g grant, found bool, err error) {
	epoch := a.cache.epoch()
	err = a.store.View(ctx, func(tx *persistence.Tx) (err error) {
		g, found, err = findToken(tx, hash)
		return err
	})
	if err != nil || !found || g.refresh || g.expired(now) {
		return g, found, err
	}
	if g.older {
		g.older = false
		err = a.store.Update(ctx, func(tx *persistence.Tx) error {
			return a.endGenerations(tx, g.user, g.device, 0, g.generation)
		})
		return g, found, err // the next request keeps it: what was dropped has moved the epoch on
	}
	a.cache.put(hash, g, epoch)
	return g, found, nil
}

// unknownToken is the refusal of a token. With soft the client may refresh it ("Soft logout").
func unknownToken(message string, soft bool) *api.Error {
	return &api.Error{
		Status: http.StatusUnauthorized, Code: "M_UNKNOWN_TOKEN", Message: message, Extra: map[string]any{"soft_logout": soft},
	}
}

func findToken(tx *persistence.Tx, hash tokenHash) (g grant, found bool, err error) {
	const query = `SELECT t.refresh, t.user, t.device, t.generation, t.expires, u.admin,
			EXISTS (SELECT 1 FROM hs_tokens o WHERE o.user = t.user AND o.device = t.device AND o.generation < t.generation)
		FROM hs_tokens t JOIN hs_users u ON u.user = t.user WHERE t.hash = ?`
	found, err = tx.QueryRow(query, []any{hash[:]}, &g.refresh, &g.user, &g.device, &g.generation, &g.expires, &g.admin, &g.older)
	return g, found, err
}

func insertToken(tx *persistence.Tx, hash tokenHash, g grant) error {
	const insert = `INSERT INTO hs_tokens (hash, refresh, user, device, generation, expires) VALUES (?, ?, ?, ?, ?, ?)`
	_, err := tx.Exec(insert, hash[:], g.refresh, string(g.user), g.device, g.generation, g.expires)
	return err
}

// tokens are what a client gets to tell who it is.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token,omitempty"`
	Expires int64  `json:"expires_in_ms,omitempty"`
}

// issue makes the tokens of a device, of a generation.
func (a *Accounts) issue(tx *persistence.Tx, user ident.UserID, device string, generation int64, refreshable bool, now time.Time) (tokens, error) {
	made := tokens{Access: newToken()}
	g := grant{user: user, device: device, generation: generation}
	if refreshable {
		made.Refresh, made.Expires = newToken(), refreshableTime.Milliseconds()
		if err := insertToken(tx, hashOf(made.Refresh), grant{refresh: true, user: user, device: device, generation: generation}); err != nil {
			return tokens{}, err
		}
		g.expires = now.Add(refreshableTime).UnixMilli()
	}
	return made, insertToken(tx, hashOf(made.Access), g)
}

// dropTokens ends all tokens of a device.
func (a *Accounts) dropTokens(tx *persistence.Tx, user ident.UserID, device string) error {
	const all = 1 << 62 // more generations than there will be
	return a.endGenerations(tx, user, device, 0, all)
}

// endGenerations ends a device's tokens of the generations from one on and below another.
func (a *Accounts) endGenerations(tx *persistence.Tx, user ident.UserID, device string, from, below int64) error {
	const remove = `DELETE FROM hs_tokens WHERE user = ? AND device = ? AND generation >= ? AND generation < ?`
	if _, err := tx.Exec(remove, string(user), device, from, below); err != nil {
		return err
	}
	tx.AfterCommit(func() {
		a.cache.drop(func(g grant) bool {
			return g.user == user && g.device == device && g.generation >= from && g.generation < below
		})
	})
	return nil
}
