// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"fmt"

	"github.com/strata-matrix/strata/transport/ident"
)

// Who said what of a server's keys, and when first and last: a row for each thing that was said, however often.
const sightingsSchema = `
CREATE TABLE key_sightings (
	server      TEXT    NOT NULL,
	source      TEXT    NOT NULL, -- a notary, '' for the server itself
	key_id      TEXT    NOT NULL,
	public      BLOB    NOT NULL,
	expired_at  INTEGER NOT NULL, -- ms; 0: current
	valid_until INTEGER NOT NULL, -- ms; of the document that said so last
	first_seen  INTEGER NOT NULL, -- ms
	last_seen   INTEGER NOT NULL, -- ms
	PRIMARY KEY (server, source, key_id, public, expired_at)
) WITHOUT ROWID;`

// keptSightings is how many rows one server has at most: its keys over years, from several sources. Those not seen for longest go.
const keptSightings = 256

// KeySighting is one thing that was said of a server's key.
type KeySighting struct {
	Server     ident.ServerName
	Source     ident.ServerName // a notary, "" for the server itself
	KeyID      ident.KeyID
	Public     []byte
	ExpiredAt  int64 // ms; 0: the key is current
	ValidUntil int64 // ms
	FirstSeen  int64 // ms
	LastSeen   int64 // ms
}

// SaveKeySighting adds a sighting, or extends that of the same thing.
func (tx *Tx) SaveKeySighting(s KeySighting) error {
	const upsert = `INSERT INTO key_sightings (server, source, key_id, public, expired_at, valid_until, first_seen, last_seen)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET valid_until = excluded.valid_until, last_seen = max(last_seen, excluded.last_seen)`
	err := tx.exec(upsert, string(s.Server), string(s.Source), string(s.KeyID), s.Public, s.ExpiredAt, s.ValidUntil, s.FirstSeen, s.LastSeen)
	if err != nil {
		return fmt.Errorf("keep sighting of %s of %s: %w", s.KeyID, s.Server, err)
	}
	const trim = `DELETE FROM key_sightings WHERE server = ?1 AND (source, key_id, public, expired_at) IN (
		SELECT source, key_id, public, expired_at FROM key_sightings WHERE server = ?1 ORDER BY last_seen DESC LIMIT -1 OFFSET ?2)`
	if err := tx.exec(trim, string(s.Server), keptSightings); err != nil {
		return fmt.Errorf("trim sightings of %s: %w", s.Server, err)
	}
	return nil
}

// KeySightings are all of a server, by key and then in the order in which they were first seen.
func (tx *Tx) KeySightings(server ident.ServerName) (found []KeySighting, err error) {
	const query = `SELECT source, key_id, public, expired_at, valid_until, first_seen, last_seen FROM key_sightings
		WHERE server = ? ORDER BY key_id, first_seen, source, expired_at`
	err = tx.query(query, []any{string(server)}, func(row rowScanner) error {
		s := KeySighting{Server: server}
		err := row.Scan((*string)(&s.Source), (*string)(&s.KeyID), &s.Public, &s.ExpiredAt, &s.ValidUntil, &s.FirstSeen, &s.LastSeen)
		found = append(found, s)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("key sightings of %s: %w", server, err)
	}
	return found, nil
}
