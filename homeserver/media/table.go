// SPDX-License-Identifier: Apache-2.0

package media

import (
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Schema is the tables of this package, a step of the homeserver's annex.
const Schema = `
CREATE TABLE hs_media (
	id      TEXT    PRIMARY KEY,
	user    TEXT    NOT NULL,
	created INTEGER NOT NULL, -- ms
	digest  BLOB,             -- SHA-256 of the content, null until it is uploaded
	size    INTEGER NOT NULL,
	type    TEXT    NOT NULL,
	name    TEXT    NOT NULL, -- of the file, '' for none
	open    INTEGER NOT NULL  -- 1: to be had without an access token
) STRICT, WITHOUT ROWID;
CREATE INDEX hs_media_user ON hs_media (user, size);
CREATE INDEX hs_media_digest ON hs_media (digest) WHERE digest IS NOT NULL;
CREATE INDEX hs_media_unused ON hs_media (user, created) WHERE digest IS NULL;
CREATE TABLE hs_media_cache (
	key    TEXT    PRIMARY KEY, -- of what it is a copy, or made
	digest BLOB    NOT NULL,
	size   INTEGER NOT NULL,
	type   TEXT    NOT NULL,
	name   TEXT    NOT NULL,
	open   INTEGER NOT NULL,
	used   INTEGER NOT NULL -- ms
) STRICT, WITHOUT ROWID;
CREATE INDEX hs_media_cache_used ON hs_media_cache (used);
CREATE INDEX hs_media_cache_digest ON hs_media_cache (digest);
CREATE TABLE hs_media_removed (
	key TEXT    PRIMARY KEY, -- mxc://SERVER/ID of content that an operator has removed, and that is not fetched again
	at  INTEGER NOT NULL     -- ms
) STRICT, WITHOUT ROWID;`

// item is content that is stored.
type item struct {
	digest []byte
	size   int64
	kind   string // media type
	name   string // of the file, "" for none
	open   bool   // without an access token
}

// entry is an id of ours. Its item has no digest until it is uploaded.
type entry struct {
	item
	user    ident.UserID
	created time.Time
}

// expired tells whether the id was given out and not used in time.
func (e entry) expired(now time.Time) bool { return e.digest == nil && now.Sub(e.created) > unusedTime }

func readEntry(tx *persistence.Tx, id ident.MediaID) (e entry, found bool, err error) {
	var created int64
	found, err = tx.QueryRow(`SELECT user, created, digest, size, type, name, open FROM hs_media WHERE id = ?`, []any{string(id)},
		&e.user, &created, &e.digest, &e.size, &e.kind, &e.name, &e.open)
	e.created = time.UnixMilli(created)
	return e, found, err
}

// insertEntry adds an id. Its content is in e, or will come.
func insertEntry(tx *persistence.Tx, id ident.MediaID, e entry) error {
	_, err := tx.Exec(`INSERT INTO hs_media (id, user, created, digest, size, type, name, open) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		string(id), string(e.user), e.created.UnixMilli(), e.digest, e.size, e.kind, e.name, e.open)
	return err
}

// fillEntry adds the content of an id that has none.
func fillEntry(tx *persistence.Tx, id ident.MediaID, content item) error {
	_, err := tx.Exec(`UPDATE hs_media SET digest = ?, size = ?, type = ?, name = ?, open = ? WHERE id = ? AND digest IS NULL`,
		content.digest, content.size, content.kind, content.name, content.open, string(id))
	return err
}

// countUnused counts the ids of a user that wait for content, and removes those whose time is over.
func countUnused(tx *persistence.Tx, user ident.UserID, now time.Time) (n int, err error) {
	_, err = tx.Exec(`DELETE FROM hs_media WHERE digest IS NULL AND user = ? AND created < ?`, string(user), now.Add(-unusedTime).UnixMilli())
	if err != nil {
		return 0, err
	}
	_, err = tx.QueryRow(`SELECT count(*) FROM hs_media WHERE digest IS NULL AND user = ?`, []any{string(user)}, &n)
	return n, err
}

func readCached(tx *persistence.Tx, key string) (i item, used time.Time, found bool, err error) {
	var at int64
	found, err = tx.QueryRow(`SELECT digest, size, type, name, open, used FROM hs_media_cache WHERE key = ?`, []any{key},
		&i.digest, &i.size, &i.kind, &i.name, &i.open, &at)
	return i, time.UnixMilli(at), found, err
}

func insertCached(tx *persistence.Tx, key string, i item, used time.Time) error {
	_, err := tx.Exec(`INSERT INTO hs_media_cache (key, digest, size, type, name, open, used) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		key, i.digest, i.size, i.kind, i.name, i.open, used.UnixMilli())
	return err
}

func touchCached(tx *persistence.Tx, key string, used time.Time) error {
	_, err := tx.Exec(`UPDATE hs_media_cache SET used = ? WHERE key = ?`, used.UnixMilli(), key)
	return err
}

func deleteCached(tx *persistence.Tx, key string) error {
	_, err := tx.Exec(`DELETE FROM hs_media_cache WHERE key = ?`, key)
	return err
}

func sumCached(tx *persistence.Tx) (total int64, err error) {
	_, err = tx.QueryRow(`SELECT coalesce(sum(size), 0) FROM hs_media_cache`, nil, &total)
	return total, err
}

// stale is a row of the cache that may go.
type stale struct {
	key    string
	digest []byte
	size   int64
}

// leastUsed gives what was not used for longest, nor since a time, at most evictAtOnce.
func leastUsed(tx *persistence.Tx, before int64) (list []stale, err error) {
	return stales(tx, `used < ? ORDER BY used LIMIT ?`, before, evictAtOnce)
}

// keyed gives what stands under keys from one on and below another.
func keyed(tx *persistence.Tx, from, below string) (list []stale, err error) {
	return stales(tx, `key >= ? AND key < ?`, from, below)
}

func stales(tx *persistence.Tx, where string, args ...any) (list []stale, err error) {
	err = tx.Query(`SELECT key, digest, size FROM hs_media_cache WHERE `+where, args, func(r persistence.Row) error {
		var s stale
		err := r.Scan(&s.key, &s.digest, &s.size)
		list = append(list, s)
		return err
	})
	return list, err
}

// usedBy is how many bytes a user has uploaded that are still here.
func usedBy(tx *persistence.Tx, user ident.UserID) (total int64, err error) {
	_, err = tx.QueryRow(`SELECT coalesce(sum(size), 0) FROM hs_media WHERE user = ?`, []any{string(user)}, &total)
	return total, err
}

func deleteEntry(tx *persistence.Tx, id ident.MediaID) error {
	_, err := tx.Exec(`DELETE FROM hs_media WHERE id = ?`, string(id))
	return err
}

func isOwnDigest(tx *persistence.Tx, digest []byte) (bool, error) {
	var one int
	return tx.QueryRow(`SELECT 1 FROM hs_media WHERE digest = ? LIMIT 1`, []any{digest}, &one)
}

func markRemoved(tx *persistence.Tx, key string, now time.Time) error {
	_, err := tx.Exec(`INSERT OR IGNORE INTO hs_media_removed (key, at) VALUES (?, ?)`, key, now.UnixMilli())
	return err
}

func isRemoved(tx *persistence.Tx, key string) (bool, error) {
	var one int
	return tx.QueryRow(`SELECT 1 FROM hs_media_removed WHERE key = ?`, []any{key}, &one)
}

func isCachedDigest(tx *persistence.Tx, digest []byte) (bool, error) {
	var one int
	return tx.QueryRow(`SELECT 1 FROM hs_media_cache WHERE digest = ? LIMIT 1`, []any{digest}, &one)
}
