// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"encoding/json"
	"slices"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// isFollowed tells whether what is known of the devices of a user of another server is all that there is.
func (k *Keys) isFollowed(tx *persistence.Tx, user ident.UserID) (bool, error) {
	found, err := tx.QueryRow(`SELECT 1 FROM hs_remote_lists WHERE user = ? AND fresh = 1`, []any{string(user)}, new(int64))
	if err != nil || !found {
		return false, err
	}
	return k.company.Meets(tx, user) // of others nobody tells us
}

// followedKeys gives the device keys of a user of another server, of some devices or for an empty list of all.
func followedKeys(tx *persistence.Tx, user, asker ident.UserID, devices []string) (map[string]json.RawMessage, error) {
	shown := map[string]json.RawMessage{}
	err := tx.Query(`SELECT device, name, keys FROM hs_remote_devices WHERE user = ? AND keys <> ''`, []any{string(user)}, func(r persistence.Row) error {
		var id, name string
		var keys json.RawMessage
		err := r.Scan(&id, &name, &keys)
		if err != nil || len(devices) > 0 && !slices.Contains(devices, id) {
			return err
		}
		if keys, err = withSignatures(tx, keys, user, asker, id); err != nil {
			return err
		}
		shown[id], err = named(keys, name)
		return err
	})
	return shown, err
}

// Followed keeps what other servers tell of the devices of their users.
type Followed struct{}

var _ messaging.DeviceLists = Followed{}

// DeviceChanged implements messaging.DeviceLists.
func (Followed) DeviceChanged(tx *persistence.Tx, user ident.UserID, device messaging.Device) error {
	if err := putRemote(tx, user, device); err != nil {
		return err
	}
	return changed(tx, user)
}

func putRemote(tx *persistence.Tx, user ident.UserID, device messaging.Device) error {
	if device.Deleted {
		_, err := tx.Exec(`DELETE FROM hs_remote_devices WHERE user = ? AND device = ?`, string(user), device.ID)
		return err
	}
	_, err := tx.Exec(`INSERT INTO hs_remote_devices (user, device, name, keys) VALUES (?, ?, ?, ?)
		ON CONFLICT (user, device) DO UPDATE SET name = excluded.name, keys = excluded.keys`,
		string(user), device.ID, device.Name, string(device.Keys))
	return err
}

// DevicesStale implements messaging.DeviceLists. Who asks meanwhile is answered by the user's server.
func (Followed) DevicesStale(tx *persistence.Tx, user ident.UserID) error {
	_, err := tx.Exec(`INSERT INTO hs_remote_lists (user, fresh) VALUES (?, 0) ON CONFLICT (user) DO UPDATE SET fresh = 0`, string(user))
	if err != nil {
		return err
	}
	return changed(tx, user)
}

// DevicesReplaced implements messaging.DeviceLists.
func (Followed) DevicesReplaced(tx *persistence.Tx, list messaging.UserDevices) error {
	if _, err := tx.Exec(`DELETE FROM hs_remote_devices WHERE user = ?`, string(list.User)); err != nil {
		return err
	}
	for _, device := range list.Devices {
		if err := putRemote(tx, list.User, device); err != nil {
			return err
		}
	}
	for usage, key := range map[string]json.RawMessage{master: list.Master, selfSigning: list.SelfSigning} {
		if err := replaceSigningKey(tx, list.User, usage, key); err != nil {
			return err
		}
	}
	_, err := tx.Exec(`INSERT INTO hs_remote_lists (user, fresh) VALUES (?, 1) ON CONFLICT (user) DO UPDATE SET fresh = 1`, string(list.User))
	if err != nil {
		return err
	}
	return changed(tx, list.User)
}

func replaceSigningKey(tx *persistence.Tx, user ident.UserID, usage string, key json.RawMessage) error {
	if key != nil {
		return putSigningKey(tx, user, usage, key)
	}
	_, err := tx.Exec(`DELETE FROM hs_signing_keys WHERE user = ? AND usage = ?`, string(user), usage)
	return err
}

// SigningKeysChanged implements messaging.DeviceLists.
func (Followed) SigningKeysChanged(tx *persistence.Tx, user ident.UserID, keys messaging.SigningKeys) error {
	for usage, key := range map[string]json.RawMessage{master: keys.Master, selfSigning: keys.SelfSigning} {
		if key == nil {
			continue
		}
		if err := putSigningKey(tx, user, usage, key); err != nil {
			return err
		}
	}
	return changed(tx, user)
}
