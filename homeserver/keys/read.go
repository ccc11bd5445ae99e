// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"encoding/json"
	"fmt"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// The usages of cross-signing keys.
const (
	master      = "master"
	selfSigning = "self_signing"
	userSigning = "user_signing"
)

// deviceKeys gives the keys of devices of a user of ours, of one or for "" of all, with the signatures that an asker may see. An asker
// who is nobody here sees the user's own (M-67).
func deviceKeys(tx *persistence.Tx, user, asker ident.UserID, device string) (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	err := tx.Query(`SELECT device, keys FROM hs_device_keys WHERE user = ? AND (? = '' OR device = ?)`, []any{string(user), device, device},
		func(r persistence.Row) error {
			var id string
			var keys json.RawMessage
			if err := r.Scan(&id, &keys); err != nil {
				return err
			}
			var err error
			all[id], err = withSignatures(tx, keys, user, asker, id)
			return err
		})
	return all, err
}

// shownKeys is deviceKeys with the devices' names under unsigned, as clients and servers get them.
func shownKeys(tx *persistence.Tx, user, asker ident.UserID, devices []string) (map[string]json.RawMessage, error) {
	all, err := deviceKeys(tx, user, asker, "")
	if err != nil {
		return nil, err
	}
	list, err := accounts.Devices(tx, user)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, device := range devices {
		wanted[device] = true
	}
	shown := map[string]json.RawMessage{}
	for _, device := range list {
		keys, found := all[device.ID]
		if !found || len(wanted) > 0 && !wanted[device.ID] {
			continue
		}
		if shown[device.ID], err = named(keys, device.Name); err != nil {
			return nil, err
		}
	}
	return shown, nil
}

// named is device keys with the name of the device.
func named(keys json.RawMessage, name string) (json.RawMessage, error) {
	if name == "" {
		return keys, nil
	}
	return change(keys, func(members map[string]json.RawMessage) (err error) {
		members["unsigned"], err = json.Marshal(map[string]string{"device_display_name": name})
		return err
	})
}

// withSignatures adds what was signed later to a key: of a user of ours, or by one.
func withSignatures(tx *persistence.Tx, key json.RawMessage, user, asker ident.UserID, id string) (json.RawMessage, error) {
	added := map[string]map[string]string{}
	err := tx.Query(`SELECT signer, signed_by, signature FROM hs_signatures WHERE user = ? AND key = ? AND (signer = user OR signer = ?)`,
		[]any{string(user), id, string(asker)}, func(r persistence.Row) error {
			var signer, by, signature string
			err := r.Scan(&signer, &by, &signature)
			if added[signer] == nil {
				added[signer] = map[string]string{}
			}
			added[signer][by] = signature
			return err
		})
	if err != nil || len(added) == 0 {
		return key, err
	}
	return change(key, func(members map[string]json.RawMessage) (err error) {
		signatures := map[string]map[string]string{}
		if given := members["signatures"]; given != nil {
			if err := json.Unmarshal(given, &signatures); err != nil {
				return err
			}
		}
		for signer, list := range added {
			if signatures[signer] == nil {
				signatures[signer] = map[string]string{}
			}
			for by, signature := range list {
				signatures[signer][by] = signature
			}
		}
		members["signatures"], err = json.Marshal(signatures)
		return err
	})
}

// change is an object with other members.
func change(object json.RawMessage, f func(members map[string]json.RawMessage) error) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	err := json.Unmarshal(object, &members)
	if err == nil {
		err = f(members)
	}
	if err != nil {
		return nil, fmt.Errorf("stored key: %w", err)
	}
	return json.Marshal(members)
}

// signingKey gives a cross-signing key of a user as an asker may see it, nil for none.
func signingKey(tx *persistence.Tx, user, asker ident.UserID, usage string) (json.RawMessage, error) {
	var key json.RawMessage
	found, err := tx.QueryRow(`SELECT key FROM hs_signing_keys WHERE user = ? AND usage = ?`, []any{string(user), usage}, &key)
	if err != nil || !found {
		return nil, err
	}
	public, err := publicKey(key)
	if err != nil {
		return nil, err
	}
	return withSignatures(tx, key, user, asker, public)
}
