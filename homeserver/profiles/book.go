// SPDX-License-Identifier: Apache-2.0

package profiles

import (
	"context"
	"encoding/json"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Schema is the tables of this package, a step of the homeserver's annex.
const Schema = `
CREATE TABLE hs_profiles (
	user  TEXT NOT NULL,
	field TEXT NOT NULL,
	value TEXT NOT NULL, -- JSON
	PRIMARY KEY (user, field)
) STRICT, WITHOUT ROWID;
CREATE TABLE hs_profile_changes (
	user   TEXT    PRIMARY KEY,
	number INTEGER NOT NULL -- grows with each change that rooms are still to show
) STRICT, WITHOUT ROWID;`

// The fields that memberships show.
const (
	displayName = "displayname"
	avatarURL   = "avatar_url"
)

// Limits (Client-Server API, "Profiles").
const (
	maxProfile = 64 << 10 // bytes, of all fields with their names
	maxField   = 255      // bytes of a field's name
	maxName    = 256      // bytes of a display name
	maxURL     = 1000     // bytes of avatar_url
)

// Book is the profiles of our users.
type Book struct{ store *persistence.Store }

var _ messaging.Profiles = Book{}

// NewBook makes a book of what stands in the store.
func NewBook(store *persistence.Store) Book { return Book{store} }

// Profile implements messaging.Profiles.
func (b Book) Profile(ctx context.Context, user ident.UserID) (fields map[string]json.RawMessage, found bool, err error) {
	err = b.store.View(ctx, func(tx *persistence.Tx) error {
		if found, err = accounts.Known(tx, user); err != nil || !found {
			return err
		}
		fields, err = fieldsOf(tx, user)
		return err
	})
	return fields, found, err
}

func fieldsOf(tx *persistence.Tx, user ident.UserID) (map[string]json.RawMessage, error) {
	fields := map[string]json.RawMessage{}
	err := tx.Query(`SELECT field, value FROM hs_profiles WHERE user = ?`, []any{string(user)}, func(r persistence.Row) error {
		var field string
		var value json.RawMessage
		err := r.Scan(&field, &value)
		fields[field] = value
		return err
	})
	return fields, err
}

// set writes a field, or with nil removes it. It tells whether that changes anything.
func set(tx *persistence.Tx, user ident.UserID, field string, value json.RawMessage) (changes bool, err error) {
	fields, err := fieldsOf(tx, user)
	if err != nil || string(fields[field]) == string(value) {
		return false, err
	}
	if value == nil {
		_, err = tx.Exec(`DELETE FROM hs_profiles WHERE user = ? AND field = ?`, string(user), field)
		return true, err
	}
	fields[field] = value
	size := 0
	for name, value := range fields {
		size += len(name) + len(value)
	}
	if size > maxProfile {
		return false, &api.Error{Status: 400, Code: "M_PROFILE_TOO_LARGE", Message: "a profile has at most 64 KiB"}
	}
	_, err = tx.Exec(`INSERT OR REPLACE INTO hs_profiles (user, field, value) VALUES (?, ?, ?)`, string(user), field, string(value))
	return true, err
}

// noteChange has the rooms of a user show the profile as it is.
func noteChange(tx *persistence.Tx, user ident.UserID) error {
	_, err := tx.Exec(`INSERT INTO hs_profile_changes (user, number) VALUES (?, 1)
		ON CONFLICT (user) DO UPDATE SET number = number + 1`, string(user))
	return err
}

// change is a profile that rooms are still to show.
type change struct {
	user   ident.UserID
	number int64
}

// nextChange gives one, if there is any.
func nextChange(tx *persistence.Tx) (c change, found bool, err error) {
	found, err = tx.QueryRow(`SELECT user, number FROM hs_profile_changes ORDER BY user LIMIT 1`, nil, &c.user, &c.number)
	return c, found, err
}

// shown notes that all rooms show a change, unless there is a later one.
func (c change) shown(tx *persistence.Tx) error {
	_, err := tx.Exec(`DELETE FROM hs_profile_changes WHERE user = ? AND number = ?`, string(c.user), c.number)
	return err
}
