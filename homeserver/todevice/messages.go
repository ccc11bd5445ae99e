// SPDX-License-Identifier: Apache-2.0

package todevice

import (
	"encoding/json"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Schema is the tables of this package, a step of the homeserver's annex.
const Schema = `
CREATE TABLE hs_to_device (
	position INTEGER PRIMARY KEY,
	user     TEXT NOT NULL,
	device   TEXT NOT NULL,
	sender   TEXT NOT NULL,
	type     TEXT NOT NULL,
	content  TEXT NOT NULL -- JSON object
) STRICT;
CREATE INDEX hs_to_device_waiting ON hs_to_device (user, device, position);
CREATE TABLE hs_to_device_sent (
	user   TEXT    NOT NULL,
	device TEXT    NOT NULL,
	type   TEXT    NOT NULL,
	txn    TEXT    NOT NULL,
	at     INTEGER NOT NULL, -- ms
	PRIMARY KEY (user, device, type, txn)
) STRICT, WITHOUT ROWID;
CREATE INDEX hs_to_device_sent_at ON hs_to_device_sent (at);`

// Message is a message for a device.
type Message struct {
	Position persistence.Position `json:"-"`
	Sender   ident.UserID         `json:"sender"`
	Type     string               `json:"type"`
	Content  json.RawMessage      `json:"content"`
}

// Waiting gives up to limit messages for a device that came after one position and not after another, in order.
func Waiting(tx *persistence.Tx, user ident.UserID, device string, after, through persistence.Position, limit int) (list []Message, err error) {
	err = tx.Query(`SELECT position, sender, type, content FROM hs_to_device WHERE user = ? AND device = ? AND position > ? AND position <= ?
		ORDER BY position LIMIT ?`, []any{string(user), device, after, through, limit}, func(r persistence.Row) error {
		var m Message
		err := r.Scan(&m.Position, &m.Sender, &m.Type, &m.Content)
		list = append(list, m)
		return err
	})
	return list, err
}

// Acknowledge forgets what a device has got: everything up to a position.
func Acknowledge(tx *persistence.Tx, user ident.UserID, device string, through persistence.Position) error {
	_, err := tx.Exec(`DELETE FROM hs_to_device WHERE user = ? AND device = ? AND position <= ?`, string(user), device, through)
	return err
}

// Inbox keeps messages of users of other servers.
type Inbox struct{}

var _ messaging.ToDevice = Inbox{}

// KeepToDevice implements messaging.ToDevice.
func (Inbox) KeepToDevice(tx *persistence.Tx, message messaging.ToDeviceMessage) error {
	for user, devices := range message.Messages {
		if err := keep(tx, user, devices, message); err != nil {
			return err
		}
	}
	return nil
}

// keep keeps a message for those of a user's devices that there are; "*" is all of them.
func keep(tx *persistence.Tx, user ident.UserID, contents map[string]json.RawMessage, message messaging.ToDeviceMessage) error {
	devices, err := accounts.Devices(tx, user)
	if err != nil {
		return err
	}
	for _, device := range devices {
		content, found := contents[device.ID]
		if !found {
			content, found = contents["*"]
		}
		if !found {
			continue
		}
		at, err := stream.Append(tx, stream.Entry{Kind: stream.ToDevice, User: user, Device: device.ID})
		if err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO hs_to_device (position, user, device, sender, type, content) VALUES (?, ?, ?, ?, ?, ?)`,
			at, string(user), device.ID, string(message.Sender), message.Type, string(content))
		if err != nil {
			return err
		}
	}
	return nil
}
