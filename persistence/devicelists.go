// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"github.com/strata-matrix/strata/transport/ident"
)

// What is known of the device lists of users of other servers, and how far those of our own users have been told (M-56 to M-59).
const deviceListsSchema = `
CREATE TABLE device_lists (
	user     TEXT    PRIMARY KEY,
	streams  BLOB    NOT NULL, -- ids of the latest updates, uvarints, the newest last
	stale    INTEGER NOT NULL, -- 1 when an update is missing: the list has to be fetched
	attempts INTEGER NOT NULL, -- in a row that did not bring it
	due_at   INTEGER NOT NULL  -- ms, of the next
) STRICT, WITHOUT ROWID;
CREATE INDEX device_lists_due ON device_lists (due_at) WHERE stale = 1;
CREATE TABLE own_device_lists (
	user   TEXT    PRIMARY KEY,
	stream INTEGER NOT NULL -- id of the latest update
) STRICT, WITHOUT ROWID;`

// DeviceList is what is known of the updates of a user's device list.
type DeviceList struct {
	User     ident.UserID
	Streams  []int64 // the ids of the latest, the newest last
	Stale    bool
	Attempts int
	DueAt    int64 // ms
}

const deviceListColumns = `SELECT user, streams, stale, attempts, due_at FROM device_lists`

func scanDeviceList(r rowScanner) (l DeviceList, err error) {
	var streams []byte
	if err = r.Scan(&l.User, &streams, &l.Stale, &l.Attempts, &l.DueAt); err == nil {
		l.Streams, err = unpackNIDs(streams)
	}
	return l, err
}

// DeviceList gives what is known of a user's list.
func (tx *Tx) DeviceList(user ident.UserID) (list DeviceList, found bool, err error) {
	err = tx.query(deviceListColumns+` WHERE user = ?`, []any{string(user)}, func(r rowScanner) error {
		found = true
		list, err = scanDeviceList(r)
		return err
	})
	return list, found, err
}

// PutDeviceList stores what is known of a user's list.
func (tx *Tx) PutDeviceList(l DeviceList) error {
	return tx.exec(`INSERT INTO device_lists (user, streams, stale, attempts, due_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (user) DO UPDATE
		SET streams = excluded.streams, stale = excluded.stale, attempts = excluded.attempts, due_at = excluded.due_at`,
		string(l.User), packNIDs(l.Streams), l.Stale, l.Attempts, l.DueAt)
}

// DropDeviceList forgets a user's list.
func (tx *Tx) DropDeviceList(user ident.UserID) error {
	return tx.exec(`DELETE FROM device_lists WHERE user = ?`, string(user))
}

// StaleDeviceLists gives up to limit lists that have to be fetched, those first that are due first.
func (tx *Tx) StaleDeviceLists(limit int) (list []DeviceList, err error) {
	err = tx.query(deviceListColumns+` WHERE stale = 1 ORDER BY due_at, user LIMIT ?`, []any{limit}, func(r rowScanner) error {
		l, err := scanDeviceList(r)
		list = append(list, l)
		return err
	})
	return list, err
}

// OwnStream gives the id of the latest update of the list of a user of ours, 0 when there was none.
func (tx *Tx) OwnStream(user ident.UserID) (stream int64, err error) {
	_, err = tx.queryRow(`SELECT stream FROM own_device_lists WHERE user = ?`, []any{string(user)}, &stream)
	return stream, err
}

// NextOwnStream numbers an update of the list of a user of ours, not below least, and gives the number of the one before, 0 for none.
func (tx *Tx) NextOwnStream(user ident.UserID, least int64) (stream, before int64, err error) {
	if before, err = tx.OwnStream(user); err != nil {
		return 0, 0, err
	}
	stream = max(before+1, least)
	return stream, before, tx.exec(`INSERT INTO own_device_lists (user, stream) VALUES (?, ?)
		ON CONFLICT (user) DO UPDATE SET stream = excluded.stream`, string(user), stream)
}
