// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// upload is the keys that a device uploads, in canonical form.
type upload struct {
	device   json.RawMessage // nil for none
	oneTime  []namedKey
	fallback []namedKey
}

// namedKey is a key with the parts of its id, algorithm:id.
type namedKey struct {
	algorithm, id string
	key           json.RawMessage
}

func readUpload(r *api.Request) (u upload, err error) {
	var body struct {
		Device   json.RawMessage            `json:"device_keys"`
		OneTime  map[string]json.RawMessage `json:"one_time_keys"`
		Fallback map[string]json.RawMessage `json:"fallback_keys"`
	}
	if err := r.Decode(&body); err != nil {
		return u, err
	}
	if len(body.Device) > 0 && !bytes.Equal(body.Device, []byte("null")) {
		if u.device, err = readDeviceKeys(r, body.Device); err != nil {
			return u, err
		}
	}
	if u.oneTime, err = readKeys("one_time_keys", body.OneTime); err != nil {
		return u, err
	}
	u.fallback, err = readKeys("fallback_keys", body.Fallback)
	return u, err
}

// readDeviceKeys checks that device keys are those of the device that uploads them.
func readDeviceKeys(r *api.Request, given json.RawMessage) (json.RawMessage, error) {
	var keys struct {
		User       ident.UserID                 `json:"user_id"`
		Device     string                       `json:"device_id"`
		Algorithms []string                     `json:"algorithms"`
		Keys       map[string]string            `json:"keys"`
		Signatures map[string]map[string]string `json:"signatures"`
	}
	if err := json.Unmarshal(given, &keys); err != nil {
		return nil, api.BadJSON("device_keys: %v", err)
	}
	switch {
	case keys.User != r.User || keys.Device != r.Device:
		return nil, api.InvalidParam("device_keys: they are of %s %s, and you are %s %s", keys.User, keys.Device, r.User, r.Device)
	case keys.Algorithms == nil || keys.Keys == nil || keys.Signatures == nil:
		return nil, api.BadJSON("device_keys: algorithms, keys and signatures are needed")
	}
	return canonical("device_keys", given)
}

func readKeys(what string, given map[string]json.RawMessage) (list []namedKey, err error) {
	for _, name := range slices.Sorted(maps.Keys(given)) {
		algorithm, id, ok := strings.Cut(name, ":")
		if !ok || algorithm == "" || id == "" || len(name) > maxKeyID {
			return nil, api.InvalidParam("%s: %q is not of the form algorithm:id", what, name)
		}
		key, err := canonical(what, given[name])
		if err != nil {
			return nil, err
		}
		if key[0] != '{' && key[0] != '"' {
			return nil, api.BadJSON("%s: the key %s is neither an object nor a string", what, name)
		}
		list = append(list, namedKey{algorithm, id, key})
	}
	return list, nil
}

func canonical(what string, given json.RawMessage) (json.RawMessage, error) {
	text, err := canonicaljson.Canonicalize(given, canonicaljson.Lenient)
	if err != nil {
		return nil, api.BadJSON("%s: %v", what, err)
	}
	if len(text) > maxKey {
		return nil, api.InvalidParam("%s: a key has more than %d bytes", what, maxKey)
	}
	return text, nil
}

func (k *Keys) upload(ctx context.Context, r *api.Request) (api.Reply, error) {
	if r.Device == "" {
		return api.Reply{}, api.InvalidParam("only a device has keys to upload")
	}
	u, err := readUpload(r)
	if err != nil {
		return api.Reply{}, err
	}
	var counts map[string]int
	err = k.store.Update(ctx, func(tx *persistence.Tx) error {
		if err := k.keep(tx, r.User, r.Device, u); err != nil {
			return err
		}
		counts, err = OneTimeKeyCounts(tx, r.User, r.Device)
		return err
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]map[string]int{"one_time_key_counts": counts})
}

// keep stores what was uploaded.
func (k *Keys) keep(tx *persistence.Tx, user ident.UserID, device string, u upload) error {
	if u.device != nil {
		if err := k.keepDevice(tx, user, device, u.device); err != nil {
			return err
		}
	}
	for _, key := range u.oneTime {
		if err := keepOneTime(tx, user, device, key); err != nil {
			return err
		}
	}
	for _, key := range u.fallback {
		_, err := tx.Exec(`INSERT INTO hs_fallback_keys (user, device, algorithm, id, key, used) VALUES (?, ?, ?, ?, ?, 0)
			ON CONFLICT (user, device, algorithm) DO UPDATE SET used = CASE WHEN id = excluded.id AND key = excluded.key THEN used ELSE 0 END,
			id = excluded.id, key = excluded.key`,
			string(user), device, key.algorithm, key.id, string(key.key))
		if err != nil {
			return err
		}
	}
	if len(u.oneTime)+len(u.fallback) == 0 {
		return nil
	}
	_, err := stream.Append(tx, stream.Entry{Kind: stream.KeyCount, User: user, Device: device})
	return err
}

// keepDevice stores device keys. Those that are there already tell nobody anything new.
func (k *Keys) keepDevice(tx *persistence.Tx, user ident.UserID, device string, keys json.RawMessage) error {
	n, err := tx.Exec(`INSERT INTO hs_device_keys (user, device, keys) VALUES (?, ?, ?)
		ON CONFLICT (user, device) DO UPDATE SET keys = excluded.keys WHERE keys <> excluded.keys`, string(user), device, string(keys))
	if err != nil || n == 0 {
		return err
	}
	return k.tellDevice(tx, user, device)
}

// tellDevice tells everybody concerned of a device that has keys, as it is now.
func (k *Keys) tellDevice(tx *persistence.Tx, user ident.UserID, id string) error {
	keys, err := deviceKeys(tx, user, "", id)
	if err != nil || len(keys) == 0 {
		return err
	}
	device, _, err := accounts.DeviceOf(tx, user, id)
	if err != nil {
		return err
	}
	if err := changed(tx, user); err != nil {
		return err
	}
	return k.teller.SendDeviceListUpdate(tx, user, messaging.Device{ID: id, Name: device.Name, Keys: keys[id]})
}

// keepOneTime stores a one-time key. The same one may come again; another one under its id is refused.
func keepOneTime(tx *persistence.Tx, user ident.UserID, device string, key namedKey) error {
	var kept json.RawMessage
	found, err := tx.QueryRow(`SELECT key FROM hs_one_time_keys WHERE user = ? AND device = ? AND algorithm = ? AND id = ?`,
		[]any{string(user), device, key.algorithm, key.id}, &kept)
	if err != nil {
		return err
	}
	if found {
		if !bytes.Equal(kept, key.key) {
			return api.InvalidParam("one_time_keys: there is another key %s:%s already", key.algorithm, key.id)
		}
		return nil
	}
	counts, err := OneTimeKeyCounts(tx, user, device)
	if err != nil {
		return err
	}
	if counts[key.algorithm] >= maxOneTimeKeys {
		return api.InvalidParam("one_time_keys: the device has %d keys of %s, the most that are kept", maxOneTimeKeys, key.algorithm)
	}
	_, err = tx.Exec(`INSERT INTO hs_one_time_keys (user, device, algorithm, id, key) VALUES (?, ?, ?, ?, ?)`,
		string(user), device, key.algorithm, key.id, string(key.key))
	return err
}
