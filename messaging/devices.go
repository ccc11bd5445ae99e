// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"encoding/json"

	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Device is a device of a user. Deleted is for updates: then there is no more of it than its id.
type Device struct {
	ID      string
	Name    string          // for people, "" for none
	Keys    json.RawMessage // device keys with their signatures, nil for a device without
	Deleted bool
}

// UserDevices is all devices of a user, with the keys that vouch for them; nil for keys that there are not.
type UserDevices struct {
	User    ident.UserID
	Devices []Device
	SigningKeys
}

// SigningKeys are the cross-signing keys of a user that others may know. In an update, nil is a key that has not changed.
type SigningKeys struct {
	Master, SelfSigning json.RawMessage
}

// deviceUpdate is the content of m.device_list_update.
type deviceUpdate struct {
	user   ident.UserID
	device Device
	stream int64
	prev   []int64
}

func parseDeviceUpdate(edu transaction.EDU) (u deviceUpdate, err error) {
	if u.user, err = speaker(edu.Origin, edu.Content.Get("user_id")); err != nil {
		return u, err
	}
	var ok bool
	if u.stream, ok = edu.Content.Get("stream_id").Int(); !ok {
		return u, malformed("stream_id is not an integer")
	}
	for prev := range edu.Content.Get("prev_id").Elements() {
		stream, ok := prev.Int()
		if !ok || len(u.prev) == maxDeviceStreams {
			return u, malformed("prev_id is not a list of a few integers")
		}
		u.prev = append(u.prev, stream)
	}
	if u.device, err = parseDevice(u.user, edu.Content); err != nil {
		return u, err
	}
	if u.device.Deleted, _ = edu.Content.Get("deleted").Bool(); u.device.Deleted {
		u.device.Name, u.device.Keys = "", nil
	}
	return u, nil
}

// parseDevice reads what an update and a list say of a device alike.
func parseDevice(user ident.UserID, v canonicaljson.Value) (d Device, err error) {
	if d.ID, _ = v.Get("device_id").Text(); d.ID == "" || len(d.ID) > maxDeviceID {
		return d, malformed("device_id is not one of 1 to %d bytes", maxDeviceID)
	}
	if d.Name, _ = v.Get("device_display_name").Text(); len(d.Name) > maxDisplayName {
		d.Name = ""
	}
	keys := v.Get("keys")
	if keys.Kind() == canonicaljson.Invalid || keys.Kind() == canonicaljson.Null {
		return d, nil
	}
	if d.Keys, err = parseDeviceKeys(user, d.ID, keys); err != nil {
		return d, err
	}
	return d, nil
}

// parseDeviceKeys reads the keys of a device, which name whose they are. Whether they are signed is for clients to verify.
func parseDeviceKeys(user ident.UserID, device string, v canonicaljson.Value) (json.RawMessage, error) {
	keys := objectOf(v)
	switch {
	case keys == nil || v.Get("keys").Kind() != canonicaljson.Object:
		return nil, malformed("the keys of %.100q are not an object of keys", device)
	case len(keys) > maxKeyObject:
		return nil, malformed("the keys of %.100q have %d bytes", device, len(keys))
	case !v.Get("user_id").IsText(string(user)) || !v.Get("device_id").IsText(device):
		return nil, malformed("the keys of %.100q are those of another device", device)
	}
	return keys, nil
}

// parseSigningKey reads a cross-signing key of a user, which names its usage; nil for none.
func parseSigningKey(user ident.UserID, usage string, v canonicaljson.Value) (json.RawMessage, error) {
	if v.Kind() == canonicaljson.Invalid || v.Kind() == canonicaljson.Null {
		return nil, nil
	}
	used := false
	for u := range v.Get("usage").Elements() {
		used = used || u.IsText(usage)
	}
	key := objectOf(v)
	if key == nil || len(key) > maxKeyObject || !used || v.Get("keys").Len() == 0 || !v.Get("user_id").IsText(string(user)) {
		return nil, malformed("not a %s key of %s", usage, user)
	}
	return key, nil
}

// parseSigningKeys reads the master and self-signing key of a user; a user-signing key is nobody's business (M-60).
func parseSigningKeys(user ident.UserID, v canonicaljson.Value) (k SigningKeys, err error) {
	if k.Master, err = parseSigningKey(user, "master", v.Get("master_key")); err != nil {
		return SigningKeys{}, err
	}
	if k.SelfSigning, err = parseSigningKey(user, "self_signing", v.Get("self_signing_key")); err != nil {
		return SigningKeys{}, err
	}
	return k, nil
}

// deviceList is an answer to /user/devices.
type deviceList struct {
	UserDevices
	stream int64
}

func parseDeviceList(user ident.UserID, body []byte) (deviceList, error) {
	v, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	if err != nil {
		return deviceList{}, err
	}
	l := deviceList{UserDevices: UserDevices{User: user}}
	var ok bool
	if l.stream, ok = v.Get("stream_id").Int(); !ok || !v.Get("user_id").IsText(string(user)) {
		return deviceList{}, malformed("it has no stream_id, or is of another user")
	}
	devices := v.Get("devices")
	if devices.Kind() != canonicaljson.Array || devices.Len() > maxDevices {
		return deviceList{}, malformed("devices is not an array of at most %d", maxDevices)
	}
	seen := map[string]bool{}
	for entry := range devices.Elements() {
		d, err := parseDevice(user, entry)
		if err != nil {
			return deviceList{}, err
		}
		if seen[d.ID] {
			return deviceList{}, malformed("device %.100q comes twice", d.ID)
		}
		seen[d.ID] = true
		l.Devices = append(l.Devices, d)
	}
	l.SigningKeys, err = parseSigningKeys(user, v)
	return l, err
}
