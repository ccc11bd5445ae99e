// SPDX-License-Identifier: Apache-2.0

package todevice

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Limits of a request, and of what is remembered of it.
const (
	maxType       = 255 // bytes, as of an event's type
	maxTxn        = 255 // bytes
	rememberFor   = 7 * 24 * time.Hour
	forgetAtATime = 10
)

// Teller sends messages to devices of users of other servers. *messaging.Server is one.
type Teller interface {
	SendToDevice(tx *persistence.Tx, message messaging.ToDeviceMessage) error
}

// Messages serves clients that send to devices. It has no state of its own.
type Messages struct {
	accounts.Bystander
	self   ident.ServerName
	store  *persistence.Store
	teller Teller
}

// New makes the package's endpoints.
func New(self ident.ServerName, store *persistence.Store, teller Teller) *Messages {
	return &Messages{self: self, store: store, teller: teller}
}

// Routes are the endpoints.
func (m *Messages) Routes() []api.Route {
	return []api.Route{{Method: "PUT", Pattern: "/_matrix/client/v3/sendToDevice/{type}/{txnID}", Handle: m.send}}
}

func (m *Messages) send(ctx context.Context, r *api.Request) (api.Reply, error) {
	message, err := readMessage(r)
	if err != nil {
		return api.Reply{}, err
	}
	now := time.Now()
	return api.Reply{}, m.store.Update(ctx, func(tx *persistence.Tx) error {
		first, err := remember(tx, r, now)
		if err != nil || !first {
			return err
		}
		for user, devices := range message.Messages {
			if user.Server() != m.self {
				continue
			}
			if err := keep(tx, user, devices, message); err != nil {
				return err
			}
		}
		return m.teller.SendToDevice(tx, message)
	})
}

func readMessage(r *api.Request) (message messaging.ToDeviceMessage, err error) {
	var body struct {
		Messages map[string]map[string]json.RawMessage `json:"messages"`
	}
	if err := r.Decode(&body); err != nil {
		return message, err
	}
	switch {
	case body.Messages == nil:
		return message, api.MissingParam("messages")
	case len(r.Param("type")) > maxType || len(r.Param("txnID")) > maxTxn:
		return message, api.InvalidParam("the type and the transaction's id have at most %d bytes", maxType)
	}
	message = messaging.ToDeviceMessage{Sender: r.User, Type: r.Param("type"), Messages: map[ident.UserID]map[string]json.RawMessage{}}
	for text, devices := range body.Messages {
		user, err := ident.ParseUserID(text)
		if err != nil {
			return message, api.InvalidParam("messages: %v", err)
		}
		for device, content := range devices {
			if content = bytes.TrimSpace(content); device == "" || content[0] != '{' {
				return message, api.BadJSON("messages: what is for %s %q is not an object", user, device)
			}
		}
		message.Messages[user] = devices
	}
	return message, nil
}

// remember notes a request; first is false for one that was taken already.
func remember(tx *persistence.Tx, r *api.Request, now time.Time) (first bool, err error) {
	n, err := tx.Exec(`INSERT OR IGNORE INTO hs_to_device_sent (user, device, type, txn, at) VALUES (?, ?, ?, ?, ?)`,
		string(r.User), r.Device, r.Param("type"), r.Param("txnID"), now.UnixMilli())
	if err != nil || n == 0 {
		return false, err
	}
	_, err = tx.Exec(`DELETE FROM hs_to_device_sent WHERE (user, device, type, txn) IN
		(SELECT user, device, type, txn FROM hs_to_device_sent WHERE at < ? ORDER BY at LIMIT ?)`, now.Add(-rememberFor).UnixMilli(), forgetAtATime)
	return true, err
}

var _ accounts.Witness = (*Messages)(nil)

// DevicesRemoved implements accounts.Witness: nobody is left to get the messages.
func (m *Messages) DevicesRemoved(tx *persistence.Tx, user ident.UserID, devices []string) error {
	for _, device := range devices {
		for _, query := range []string{
			`DELETE FROM hs_to_device WHERE user = ? AND device = ?`,
			`DELETE FROM hs_to_device_sent WHERE user = ? AND device = ?`,
		} {
			if _, err := tx.Exec(query, string(user), device); err != nil {
				return err
			}
		}
	}
	return nil
}
