// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Devices answers for the devices and keys of our users.
type Devices interface {
	// UserDevices gives all devices of a user of ours with the keys that every server may see; found is false when there is no such
	// user. It must not wait for anything.
	UserDevices(tx *persistence.Tx, user ident.UserID) (list UserDevices, found bool, err error)
	// QueryKeys gives the keys of users of ours, of the devices named or for an empty list of all, as a server may see them (M-67).
	QueryKeys(ctx context.Context, asker ident.ServerName, users map[ident.UserID][]string) (Keys, error)
	// ClaimKeys hands out a key of an algorithm for each device of users of ours, a one-time key to nobody else ever again (M-66). What
	// there is no key for is left out.
	ClaimKeys(ctx context.Context, wanted KeyClaims) (ClaimedKeys, error)
}

// Keys is the keys of users, with signatures; device keys have their device's name under unsigned (M-67).
type Keys struct {
	Devices     map[ident.UserID]map[string]json.RawMessage `json:"device_keys"`
	Master      map[ident.UserID]json.RawMessage            `json:"master_keys,omitempty"`
	SelfSigning map[ident.UserID]json.RawMessage            `json:"self_signing_keys,omitempty"`
}

// KeyClaims is an algorithm for each device that a key is wanted of.
type KeyClaims map[ident.UserID]map[string]string

// ClaimedKeys is keys for devices, by their ids of the form algorithm:id.
type ClaimedKeys map[ident.UserID]map[string]map[string]json.RawMessage

// keyRoutes are the endpoints of a homeserver that has devices.
func (s *Server) keyRoutes() []transport.Route {
	const user = "/_matrix/federation/v1/user/"
	if s.core.Devices == nil {
		return nil
	}
	return []transport.Route{
		{Method: http.MethodGet, Pattern: user + "devices/:userID", Handle: s.serveDevices},
		{Method: http.MethodPost, Pattern: user + "keys/query", Handle: s.serveKeyQuery},
		{Method: http.MethodPost, Pattern: user + "keys/claim", Handle: s.serveKeyClaim},
	}
}

// serveDevices answers with the devices of a user of ours and the id of the update that brought the list to where it is (E-31).
func (s *Server) serveDevices(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	user, err := s.askedAbout(r.Params["userID"])
	if err != nil {
		return transport.Reply{}, err
	}
	var list UserDevices
	var stream int64
	err = s.store.View(ctx, func(tx *persistence.Tx) error {
		var found bool
		if list, found, err = s.core.Devices.UserDevices(tx, user); err == nil && !found {
			err = notFound("no such user")
		}
		if err == nil {
			stream, err = tx.OwnStream(user)
		}
		return err
	})
	if err != nil {
		return transport.Reply{}, err
	}
	answer := map[string]any{"user_id": user, "stream_id": stream, "devices": encodeDevices(list.Devices)}
	if list.Master != nil {
		answer["master_key"] = list.Master
	}
	if list.SelfSigning != nil {
		answer["self_signing_key"] = list.SelfSigning
	}
	return transport.JSON(answer)
}

// encodeDevices leaves out the devices that have no keys: keys are required (E-31), and such a device is no part of encryption.
func encodeDevices(list []Device) []map[string]any {
	devices := make([]map[string]any, 0, len(list))
	for _, d := range list {
		if d.Keys == nil {
			continue
		}
		device := map[string]any{"device_id": d.ID, "keys": d.Keys}
		if d.Name != "" {
			device["device_display_name"] = d.Name
		}
		devices = append(devices, device)
	}
	return devices
}

// serveKeyQuery answers with keys of users of ours (E-32). Users of others are left out: only their servers may be asked (M-65).
func (s *Server) serveKeyQuery(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	wanted := r.JSON.Get("device_keys")
	if wanted.Kind() != canonicaljson.Object || wanted.Len() > maxKeyUsers {
		return transport.Reply{}, invalidParam("device_keys is not an object of at most %d users", maxKeyUsers)
	}
	users := map[ident.UserID][]string{}
	for text, devices := range wanted.Members() {
		user, err := s.askedAbout(text)
		if err != nil {
			continue
		}
		if devices.Kind() != canonicaljson.Array || devices.Len() > maxDevices {
			return transport.Reply{}, invalidParam("the devices of %s are not an array of at most %d", user, maxDevices)
		}
		users[user] = []string{}
		for device := range devices.Elements() {
			id, ok := device.Text()
			if !ok {
				return transport.Reply{}, invalidParam("a device of %s is not a string", user)
			}
			users[user] = append(users[user], id)
		}
	}
	keys, err := s.core.Devices.QueryKeys(ctx, r.Origin, users)
	if err != nil {
		return transport.Reply{}, err
	}
	if keys.Devices == nil {
		keys.Devices = map[ident.UserID]map[string]json.RawMessage{}
	}
	return transport.JSON(keys)
}

// serveKeyClaim hands out keys of devices of users of ours (E-33).
func (s *Server) serveKeyClaim(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	wanted := r.JSON.Get("one_time_keys")
	if wanted.Kind() != canonicaljson.Object || wanted.Len() > maxKeyUsers {
		return transport.Reply{}, invalidParam("one_time_keys is not an object of at most %d users", maxKeyUsers)
	}
	claims := KeyClaims{}
	for text, devices := range wanted.Members() {
		user, err := s.askedAbout(text)
		if err != nil {
			continue
		}
		if devices.Len() > maxDevices {
			return transport.Reply{}, invalidParam("more than %d devices of %s", maxDevices, user)
		}
		claims[user] = map[string]string{}
		for device, algorithm := range devices.Members() {
			name, ok := algorithm.Text()
			if !ok {
				return transport.Reply{}, invalidParam("the algorithm for a device of %s is not a string", user)
			}
			claims[user][device] = name
		}
	}
	keys, err := s.core.Devices.ClaimKeys(ctx, claims)
	if err != nil {
		return transport.Reply{}, err
	}
	if keys == nil {
		keys = ClaimedKeys{}
	}
	return transport.JSON(map[string]ClaimedKeys{"one_time_keys": keys})
}

// askedAbout is a user whom another server asks about: about those of others we know nothing (M-65).
func (s *Server) askedAbout(text string) (ident.UserID, error) {
	user, err := ident.ParseUserID(text)
	if err != nil {
		return "", invalidParam("user id: %v", err)
	}
	if user.Server() != s.self {
		return "", notFound("not a user of this server")
	}
	return user, nil
}

// UserDevices asks the server of a user for all devices of the user with their keys (E-31).
func (s *Server) UserDevices(ctx context.Context, user ident.UserID) (UserDevices, error) {
	var list deviceList
	err := s.askOther(ctx, user.Server(), func(ctx context.Context) (err error) {
		list, err = s.askDevices(ctx, user)
		return err
	})
	if err != nil {
		return UserDevices{}, fmt.Errorf("devices of %s: %w", user, err)
	}
	return list.UserDevices, nil
}

func (s *Server) askDevices(ctx context.Context, user ident.UserID) (deviceList, error) {
	answer, err := s.asked.Do(ctx, user.Server(), transport.Call{
		Method: http.MethodGet, Path: transport.Path("_matrix", "federation", "v1", "user", "devices", string(user)),
		MaxReply: maxDevicesReply, Timeout: devicesTimeout,
	})
	if err != nil {
		return deviceList{}, err
	}
	list, err := parseDeviceList(user, answer.Body)
	if err != nil {
		return deviceList{}, fmt.Errorf("answer of %s: %w", user.Server(), err)
	}
	return list, nil
}

// QueryKeys asks a server for the keys of users of its own, of the devices named or for an empty list of all (E-32). What the answer
// says of others is left out, and so are keys that do not name the user and device that they are of.
func (s *Server) QueryKeys(ctx context.Context, server ident.ServerName, users map[ident.UserID][]string) (Keys, error) {
	wanted := make(map[ident.UserID][]string, len(users))
	for user, devices := range users {
		if wanted[user] = devices; devices == nil {
			wanted[user] = []string{} // null is no list
		}
	}
	var keys Keys
	err := checkOwners(server, users)
	if err == nil {
		err = s.askOther(ctx, server, func(ctx context.Context) error {
			answer, err := s.post(ctx, server, "query", map[string]any{"device_keys": wanted})
			if err != nil {
				return err
			}
			keys, err = parseKeys(answer, wanted)
			return err
		})
	}
	if err != nil {
		return Keys{}, fmt.Errorf("query keys of users of %s: %w", server, err)
	}
	return keys, nil
}

// ClaimKeys asks a server for one-time keys of devices of its users (E-33). What was not asked for is left out of the answer.
func (s *Server) ClaimKeys(ctx context.Context, server ident.ServerName, wanted KeyClaims) (ClaimedKeys, error) {
	var keys ClaimedKeys
	err := checkOwners(server, wanted)
	if err == nil {
		err = s.askOther(ctx, server, func(ctx context.Context) error {
			answer, err := s.post(ctx, server, "claim", map[string]any{"one_time_keys": wanted})
			if err != nil {
				return err
			}
			keys, err = parseClaimed(answer, wanted)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("claim keys of users of %s: %w", server, err)
	}
	return keys, nil
}

func (s *Server) post(ctx context.Context, server ident.ServerName, what string, content any) ([]byte, error) {
	body, err := canonicaljson.Marshal(content)
	if err != nil {
		return nil, err
	}
	answer, err := s.asked.Do(ctx, server, transport.Call{
		Method: http.MethodPost, Path: transport.Path("_matrix", "federation", "v1", "user", "keys", what), Body: body,
		MaxReply: maxDevicesReply, Timeout: devicesTimeout,
	})
	return answer.Body, err
}

// parseKeys reads an answer to a query for keys.
func parseKeys(body []byte, wanted map[ident.UserID][]string) (Keys, error) {
	v, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	if err != nil {
		return Keys{}, err
	}
	if v.Get("device_keys").Kind() != canonicaljson.Object {
		return Keys{}, malformed("device_keys is not an object")
	}
	keys := Keys{
		Devices: map[ident.UserID]map[string]json.RawMessage{}, Master: map[ident.UserID]json.RawMessage{},
		SelfSigning: map[ident.UserID]json.RawMessage{},
	}
	for user := range wanted {
		keys.Devices[user] = map[string]json.RawMessage{}
		for device, entry := range v.Get("device_keys").Get(string(user)).Members() {
			if body, err := parseDeviceKeys(user, device, entry); err == nil && len(keys.Devices[user]) < maxDevices {
				keys.Devices[user][device] = body
			}
		}
		if key, err := parseSigningKey(user, "master", v.Get("master_keys").Get(string(user))); err == nil && key != nil {
			keys.Master[user] = key
		}
		if key, err := parseSigningKey(user, "self_signing", v.Get("self_signing_keys").Get(string(user))); err == nil && key != nil {
			keys.SelfSigning[user] = key
		}
	}
	return keys, nil
}

// parseClaimed reads an answer to a claim.
func parseClaimed(body []byte, wanted KeyClaims) (ClaimedKeys, error) {
	v, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	if err != nil {
		return nil, err
	}
	given := v.Get("one_time_keys")
	if given.Kind() != canonicaljson.Object {
		return nil, malformed("one_time_keys is not an object")
	}
	keys := ClaimedKeys{}
	for user, devices := range wanted {
		for device, algorithm := range devices {
			for id, key := range given.Get(string(user)).Get(device).Members() {
				if !isKeyOf(algorithm, id, key) {
					continue
				}
				if keys[user] == nil {
					keys[user] = map[string]map[string]json.RawMessage{}
				}
				keys[user][device] = map[string]json.RawMessage{id: json.RawMessage(key.Canonical())}
				break // one was asked for
			}
		}
	}
	return keys, nil
}

// isKeyOf says whether a one-time key has the form of one of an algorithm: an object, or a string for those that are not signed.
func isKeyOf(algorithm, id string, key canonicaljson.Value) bool {
	prefix := algorithm + ":"
	named := len(id) > len(prefix) && id[:len(prefix)] == prefix
	return named && (key.Kind() == canonicaljson.Object || key.Kind() == canonicaljson.String) && len(key.Canonical()) <= maxKeyObject
}
