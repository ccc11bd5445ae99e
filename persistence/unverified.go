// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"github.com/strata-matrix/strata/transport/ident"
)

// Events whose signatures could not be verified, because no key was to be had. They are apart from the events: until it is
// verified, a copy says nothing about the event whose id it has, and each origin has its own copy.
const unverifiedSchema = `
CREATE TABLE unverified (
	nid         INTEGER PRIMARY KEY,
	origin      INTEGER NOT NULL, -- servers.nid, who handed it to us
	event       TEXT    NOT NULL,
	received_at INTEGER NOT NULL, -- ms
	attempts    INTEGER NOT NULL,
	retry_at    INTEGER NOT NULL, -- ms
	json        BLOB    NOT NULL, -- without what is no part of it
	UNIQUE (origin, event)
) STRICT;
CREATE INDEX unverified_due ON unverified (retry_at);`

// Unverified is a copy of an event that waits for the key that it is signed with.
type Unverified struct {
	NID        int64
	Origin     ident.ServerName
	Event      ident.EventID
	ReceivedAt int64 // ms
	Attempts   int
	RetryAt    int64 // ms
	JSON       []byte
}

// KeepUnverified keeps a copy of an event. An origin's newer copy takes the place of its older one, and waits no longer for that.
func (tx *Tx) KeepUnverified(u Unverified) error {
	origin, err := tx.internServer(u.Origin)
	if err != nil {
		return err
	}
	return tx.exec(`INSERT INTO unverified (origin, event, received_at, attempts, retry_at, json) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (origin, event) DO UPDATE SET json = excluded.json`,
		origin, string(u.Event), u.ReceivedAt, u.Attempts, u.RetryAt, u.JSON)
}

// UnverifiedCount counts the copies that are kept: those of one origin, and all.
func (tx *Tx) UnverifiedCount(origin ident.ServerName) (own, all int, err error) {
	_, err = tx.queryRow(`SELECT (SELECT count(*) FROM unverified WHERE origin = (SELECT nid FROM servers WHERE name = ?)),
		(SELECT count(*) FROM unverified)`, []any{string(origin)}, &own, &all)
	return own, all, err
}

// DueUnverified lists up to limit copies that are to be verified again by now, in ms.
func (tx *Tx) DueUnverified(now int64, limit int) (list []Unverified, err error) {
	err = tx.query(`SELECT u.nid, s.name, u.event, u.received_at, u.attempts, u.retry_at, u.json FROM unverified u
		JOIN servers s ON s.nid = u.origin WHERE u.retry_at <= ? ORDER BY u.retry_at, u.nid LIMIT ?`, []any{now, limit}, func(r rowScanner) error {
		var u Unverified
		err := r.Scan(&u.NID, &u.Origin, &u.Event, &u.ReceivedAt, &u.Attempts, &u.RetryAt, &u.JSON)
		list = append(list, u)
		return err
	})
	return list, err
}

// NextUnverified is when the first copy is due; found is false when there is none.
func (tx *Tx) NextUnverified() (at int64, found bool, err error) {
	found, err = tx.queryRow(`SELECT retry_at FROM unverified ORDER BY retry_at LIMIT 1`, nil, &at)
	return at, found, err
}

// RetryUnverified stores when a copy is to be verified again, in ms.
func (tx *Tx) RetryUnverified(nid int64, attempts int, at int64) error {
	return tx.exec(`UPDATE unverified SET attempts = ?, retry_at = ? WHERE nid = ?`, attempts, at, nid)
}

// DropUnverified ends the wait of a copy.
func (tx *Tx) DropUnverified(nid int64) error {
	return tx.exec(`DELETE FROM unverified WHERE nid = ?`, nid)
}
