// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const usersSchema = `
CREATE TABLE hs_users (
	user        TEXT    PRIMARY KEY,
	password    TEXT    NOT NULL, -- its hash; '' for none
	admin       INTEGER NOT NULL,
	created     INTEGER NOT NULL, -- ms
	deactivated INTEGER NOT NULL  -- ms; 0: active. The name is not given out again
) STRICT, WITHOUT ROWID;`

// errTaken: there is, or was, a user of that name.
var errTaken = errors.New("user name is taken")

// account is a row of users.
type account struct {
	user        ident.UserID
	password    string
	admin       bool
	deactivated int64 // ms
}

// Known tells whether there is a user of that name who has not been deactivated.
func Known(tx *persistence.Tx, user ident.UserID) (bool, error) {
	a, err := accountOf(tx, user)
	return a.user != "" && a.deactivated == 0, err
}

// accountOf gives the account of a user; that of nobody has no user.
func accountOf(tx *persistence.Tx, user ident.UserID) (account, error) {
	a := account{}
	const query = `SELECT user, password, admin, deactivated FROM hs_users WHERE user = ?`
	_, err := tx.QueryRow(query, []any{string(user)}, &a.user, &a.password, &a.admin, &a.deactivated)
	return a, err
}

// insertUser enters a new user, or gives errTaken.
func insertUser(tx *persistence.Tx, a account, now time.Time) error {
	const insert = `INSERT OR IGNORE INTO hs_users (user, password, admin, created, deactivated) VALUES (?, ?, ?, ?, 0)`
	n, err := tx.Exec(insert, string(a.user), a.password, a.admin, now.UnixMilli())
	if err == nil && n == 0 {
		return errTaken
	}
	return err
}

func setPassword(tx *persistence.Tx, user ident.UserID, hash string) error {
	_, err := tx.Exec(`UPDATE hs_users SET password = ? WHERE user = ?`, hash, string(user))
	return err
}

func setDeactivated(tx *persistence.Tx, user ident.UserID, now time.Time) error {
	_, err := tx.Exec(`UPDATE hs_users SET password = '', deactivated = ? WHERE user = ?`, now.UnixMilli(), string(user))
	return err
}

// newUser is the id of a user to be, from a name that somebody has chosen: capitals are made small (Client-Server API, "User
// Identifiers" leaves it to the server). Those of ASCII only: others are in no name, though some become what may be.
func newUser(name string, self ident.ServerName) (ident.UserID, error) {
	small := strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, name)
	if strings.Contains(small, ":") {
		return "", fmt.Errorf("%w: a user name has no ':'", ident.ErrInvalid)
	}
	return ident.ParseNewUserID("@" + small + ":" + string(self))
}

// userOf is the id that somebody means who logs in with a name or a user id.
func userOf(name string, self ident.ServerName) (ident.UserID, error) {
	if !strings.HasPrefix(name, "@") {
		return newUser(name, self)
	}
	user, err := ident.ParseUserID(name)
	if err != nil {
		return "", err
	}
	if user.Server() != self {
		return "", fmt.Errorf("%s is not a user of this server", user)
	}
	return newUser(user.Localpart(), self)
}
