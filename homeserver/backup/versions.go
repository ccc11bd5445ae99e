// SPDX-License-Identifier: Apache-2.0

package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Schema is the tables of this package, a step of the homeserver's annex.
const Schema = `
CREATE TABLE hs_backups (
	user      TEXT    NOT NULL,
	version   INTEGER NOT NULL,
	algorithm TEXT    NOT NULL,
	auth_data TEXT    NOT NULL, -- JSON object
	etag      INTEGER NOT NULL,
	deleted   INTEGER NOT NULL, -- 1: it stays so that its number is not given again
	PRIMARY KEY (user, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE hs_backup_keys (
	user      TEXT    NOT NULL,
	version   INTEGER NOT NULL,
	room      TEXT    NOT NULL,
	session   TEXT    NOT NULL,
	first     INTEGER NOT NULL, -- first_message_index
	forwarded INTEGER NOT NULL, -- forwarded_count
	verified  INTEGER NOT NULL,
	data      TEXT    NOT NULL, -- JSON object
	PRIMARY KEY (user, version, room, session)
) STRICT, WITHOUT ROWID;`

// Backups serves backups. It has no state of its own.
type Backups struct {
	accounts.Bystander
	store *persistence.Store
}

// New makes the package's endpoints.
func New(store *persistence.Store) *Backups { return &Backups{store: store} }

// Routes are the endpoints.
func (b *Backups) Routes() []api.Route {
	const version, keys = "/_matrix/client/v3/room_keys/version", "/_matrix/client/v3/room_keys/keys"
	const room, session = keys + "/{roomID}", keys + "/{roomID}/{sessionID}"
	routes := []api.Route{
		{Method: "POST", Pattern: version, Handle: b.create},
		{Method: "GET", Pattern: version, Handle: b.get},
		{Method: "GET", Pattern: version + "/{version}", Handle: b.get},
		{Method: "PUT", Pattern: version + "/{version}", Handle: b.update},
		{Method: "DELETE", Pattern: version + "/{version}", Handle: b.remove},
	}
	for _, pattern := range []string{keys, room, session} {
		routes = append(routes,
			api.Route{Method: "GET", Pattern: pattern, Handle: b.getKeys},
			api.Route{Method: "PUT", Pattern: pattern, Handle: b.putKeys, MaxBody: maxKeysBody},
			api.Route{Method: "DELETE", Pattern: pattern, Handle: b.deleteKeys},
		)
	}
	return routes
}

// Limits of a request and of what a user keeps.
const (
	maxKeysBody = 16 << 20 // clients put some hundred keys into a request
	maxVersions = 1000
	maxID       = 255 // bytes of a session's id
)

// backup is one version.
type backup struct {
	Algorithm string          `json:"algorithm"`
	AuthData  json.RawMessage `json:"auth_data"`
	Version   string          `json:"version,omitempty"`
	ETag      string          `json:"etag,omitempty"`
	Count     int64           `json:"count"`

	number, etag int64
}

// read gives a version of a user's backup, 0 for the newest; nil for none.
func read(tx *persistence.Tx, user ident.UserID, number int64) (*backup, error) {
	var b backup
	found, err := tx.QueryRow(`SELECT version, algorithm, auth_data, etag FROM hs_backups
		WHERE user = ? AND (? = 0 OR version = ?) AND deleted = 0 ORDER BY version DESC LIMIT 1`,
		[]any{string(user), number, number}, &b.number, &b.Algorithm, &b.AuthData, &b.etag)
	if err != nil || !found {
		return nil, err
	}
	b.Version, b.ETag = strconv.FormatInt(b.number, 10), strconv.FormatInt(b.etag, 10)
	_, err = tx.QueryRow(`SELECT count(*) FROM hs_backup_keys WHERE user = ? AND version = ?`, []any{string(user), b.number}, &b.Count)
	return &b, err
}

// numberOf is a version as paths and queries have it.
func numberOf(text string) (int64, error) {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		return 0, errNoBackup
	}
	return n, nil
}

var errNoBackup = api.NotFound("no such backup")

func readVersion(r *api.Request) (b backup, err error) {
	if err := r.Decode(&b); err != nil {
		return b, err
	}
	if b.Algorithm == "" {
		return b, api.MissingParam("algorithm")
	}
	if b.AuthData = bytes.TrimSpace(b.AuthData); len(b.AuthData) == 0 {
		return b, api.MissingParam("auth_data")
	}
	if b.AuthData[0] != '{' {
		return b, api.BadJSON("auth_data is not an object")
	}
	return b, nil
}

func (b *Backups) create(ctx context.Context, r *api.Request) (api.Reply, error) {
	given, err := readVersion(r)
	if err != nil {
		return api.Reply{}, err
	}
	var number int64
	err = b.store.Update(ctx, func(tx *persistence.Tx) error {
		if _, err := tx.QueryRow(`SELECT coalesce(max(version), 0) + 1 FROM hs_backups WHERE user = ?`, []any{string(r.User)}, &number); err != nil {
			return err
		}
		if number > maxVersions {
			return api.InvalidParam("there were %d backups, the most that an account can have", maxVersions)
		}
		_, err := tx.Exec(`INSERT INTO hs_backups (user, version, algorithm, auth_data, etag, deleted) VALUES (?, ?, ?, ?, 0, 0)`,
			string(r.User), number, given.Algorithm, string(given.AuthData))
		return err
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]string{"version": strconv.FormatInt(number, 10)})
}

func (b *Backups) get(ctx context.Context, r *api.Request) (api.Reply, error) {
	var number int64
	if text := r.Param("version"); text != "" {
		var err error
		if number, err = numberOf(text); err != nil {
			return api.Reply{}, err
		}
	}
	var kept *backup
	err := b.store.View(ctx, func(tx *persistence.Tx) (err error) {
		kept, err = read(tx, r.User, number)
		return err
	})
	if err != nil {
		return api.Reply{}, err
	}
	if kept == nil {
		return api.Reply{}, errNoBackup
	}
	return api.JSON(kept)
}

func (b *Backups) update(ctx context.Context, r *api.Request) (api.Reply, error) {
	given, err := readVersion(r)
	if err != nil {
		return api.Reply{}, err
	}
	number, err := numberOf(r.Param("version"))
	if err != nil {
		return api.Reply{}, err
	}
	if given.Version != "" && given.Version != r.Param("version") {
		return api.Reply{}, api.InvalidParam("the version in the body is not that of the path")
	}
	return api.Reply{}, b.store.Update(ctx, func(tx *persistence.Tx) error {
		kept, err := read(tx, r.User, number)
		if err != nil {
			return err
		}
		if kept == nil {
			return errNoBackup
		}
		if kept.Algorithm != given.Algorithm {
			return api.InvalidParam("the algorithm of a backup cannot change")
		}
		_, err = tx.Exec(`UPDATE hs_backups SET auth_data = ? WHERE user = ? AND version = ?`, string(given.AuthData), string(r.User), number)
		return err
	})
}

func (b *Backups) remove(ctx context.Context, r *api.Request) (api.Reply, error) {
	number, err := numberOf(r.Param("version"))
	if err != nil {
		return api.Reply{}, err
	}
	return api.Reply{}, b.store.Update(ctx, func(tx *persistence.Tx) error {
		n, err := tx.Exec(`UPDATE hs_backups SET deleted = 1 WHERE user = ? AND version = ? AND deleted = 0`, string(r.User), number)
		if err != nil {
			return err
		}
		if n == 0 {
			return errNoBackup
		}
		_, err = tx.Exec(`DELETE FROM hs_backup_keys WHERE user = ? AND version = ?`, string(r.User), number)
		return err
	})
}

// errWrongVersion is for keys that are meant for a backup that is not the newest.
func errWrongVersion(current string) error {
	return &api.Error{
		Status: http.StatusForbidden, Code: "M_WRONG_ROOM_KEYS_VERSION", Message: "there is a newer backup",
		Extra: map[string]any{"current_version": current},
	}
}

var _ accounts.Witness = (*Backups)(nil)

// UserDeactivated implements accounts.Witness.
func (b *Backups) UserDeactivated(tx *persistence.Tx, user ident.UserID) error {
	for _, query := range []string{`DELETE FROM hs_backup_keys WHERE user = ?`, `DELETE FROM hs_backups WHERE user = ?`} {
		if _, err := tx.Exec(query, string(user)); err != nil {
			return err
		}
	}
	return nil
}
