// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"github.com/strata-matrix/strata/transport/ident"
)

// The latest messages to devices of each other server, by their ids, so that none is delivered twice (M-55).
const toDeviceSchema = `
CREATE TABLE to_device_seen (
	server  INTEGER NOT NULL, -- servers.nid, of the sender
	n       INTEGER NOT NULL, -- 1, 2, 3 … of the server's messages
	sender  TEXT    NOT NULL,
	message TEXT    NOT NULL,
	PRIMARY KEY (server, n)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX to_device_seen_message ON to_device_seen (sender, message);`

// SeeToDevice notes a message to devices, and tells whether it is the first of its sender with this id among the latest limit of the
// sender's server.
func (tx *Tx) SeeToDevice(sender ident.UserID, message string, limit int) (first bool, err error) {
	server, err := tx.internServer(sender.Server())
	if err != nil {
		return false, err
	}
	var last int64
	if _, err := tx.queryRow(`SELECT n FROM to_device_seen WHERE server = ? ORDER BY n DESC LIMIT 1`, []any{server}, &last); err != nil {
		return false, err
	}
	n, err := tx.execRows(`INSERT OR IGNORE INTO to_device_seen (server, n, sender, message) VALUES (?, ?, ?, ?)`,
		server, last+1, string(sender), message)
	if err != nil || n == 0 {
		return false, err
	}
	return true, tx.exec(`DELETE FROM to_device_seen WHERE server = ? AND n <= ?`, server, last+1-int64(limit))
}
