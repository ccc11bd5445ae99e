// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// core is a homeserver as far as other servers are concerned: it notes what it is told as lines, and answers from maps.
type core struct {
	mu      sync.Mutex
	lines   []string
	refuses bool // what is to be kept

	devices map[ident.UserID]messaging.UserDevices
	oneTime map[ident.UserID]map[string][]string // ids of keys that are left
	askers  []ident.ServerName

	profiles map[ident.UserID]map[string]json.RawMessage
	aliases  map[ident.RoomAlias]messaging.AliasTarget
	page     messaging.PublicRoomsPage
	asked    []messaging.PublicRoomsQuery
	tokens   map[string]ident.UserID
}

// made is for messaging.Config.Core: a core that needs no server.
func made(c messaging.Core) func(*messaging.Server) (messaging.Core, error) {
	return func(*messaging.Server) (messaging.Core, error) { return c, nil }
}

// with makes c the core of a server that is opened.
func (c *core) with(cfg *messaging.Config) {
	cfg.Core = made(messaging.Core{
		Profiles: c, Typing: c, Presence: c, Receipts: c, ToDevice: c, DeviceLists: c, Devices: c, Aliases: c, PublicRooms: c, OpenID: c,
	})
}

func (c *core) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, fmt.Sprintf(format, args...))
}

// heard takes the lines.
func (c *core) heard() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	lines := c.lines
	c.lines = nil
	return lines
}

func (c *core) keep(tx *persistence.Tx, format string, args ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuses {
		return errors.New("refused by the test")
	}
	tx.AfterCommit(func() { c.note(format, args...) })
	return nil
}

func (c *core) Typing(_ context.Context, _ ident.RoomID, user ident.UserID, typing bool) {
	c.note("%s types: %t", user, typing)
}

func (c *core) Presence(_ context.Context, updates []messaging.PresenceUpdate) {
	for _, u := range updates {
		c.note("%s is %s, %v ago, %q, %t", u.User, u.Presence, u.LastActive, u.Status, u.CurrentlyActive)
	}
}

func (c *core) Receipts(_ context.Context, receipts []messaging.Receipt) {
	for _, r := range receipts {
		c.note("%s %s %s %q at %d", r.User, r.Type, r.Event, r.Thread, r.TS)
	}
}

func (c *core) KeepToDevice(tx *persistence.Tx, m messaging.ToDeviceMessage) error {
	text, _ := json.Marshal(m.Messages)
	return c.keep(tx, "%s of %s: %s", m.Type, m.Sender, text)
}

func (c *core) DeviceChanged(tx *persistence.Tx, user ident.UserID, d messaging.Device) error {
	return c.keep(tx, "%s of %s: %q, keys %t, deleted %t", d.ID, user, d.Name, d.Keys != nil, d.Deleted)
}

func (c *core) DevicesStale(tx *persistence.Tx, user ident.UserID) error {
	return c.keep(tx, "devices of %s are stale", user)
}

func (c *core) DevicesReplaced(tx *persistence.Tx, list messaging.UserDevices) error {
	var ids []string
	for _, d := range list.Devices {
		ids = append(ids, d.ID)
	}
	return c.keep(tx, "devices of %s: %v, master %t, self-signing %t", list.User, ids, list.Master != nil, list.SelfSigning != nil)
}

func (c *core) SigningKeysChanged(tx *persistence.Tx, user ident.UserID, keys messaging.SigningKeys) error {
	return c.keep(tx, "keys of %s: master %t, self-signing %t", user, keys.Master != nil, keys.SelfSigning != nil)
}

func (c *core) UserDevices(_ *persistence.Tx, user ident.UserID) (messaging.UserDevices, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list, found := c.devices[user]
	return list, found, nil
}

func (c *core) QueryKeys(_ context.Context, asker ident.ServerName, users map[ident.UserID][]string) (messaging.Keys, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.askers = append(c.askers, asker)
	keys := messaging.Keys{Devices: map[ident.UserID]map[string]json.RawMessage{}, Master: map[ident.UserID]json.RawMessage{}}
	for user, wanted := range users {
		list, found := c.devices[user]
		if !found {
			continue
		}
		keys.Devices[user] = map[string]json.RawMessage{}
		for _, d := range list.Devices {
			if len(wanted) == 0 || slices.Contains(wanted, d.ID) {
				keys.Devices[user][d.ID] = d.Keys
			}
		}
		if list.Master != nil {
			keys.Master[user] = list.Master
		}
	}
	return keys, nil
}

func (c *core) ClaimKeys(_ context.Context, wanted messaging.KeyClaims) (messaging.ClaimedKeys, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	claimed := messaging.ClaimedKeys{}
	for user, devices := range wanted {
		for device, algorithm := range devices {
			left := c.oneTime[user][device]
			if len(left) == 0 {
				continue
			}
			if claimed[user] == nil {
				claimed[user] = map[string]map[string]json.RawMessage{}
			}
			claimed[user][device] = map[string]json.RawMessage{algorithm + ":" + left[0]: json.RawMessage(`{"key":"` + left[0] + `"}`)}
			c.oneTime[user][device] = left[1:]
		}
	}
	return claimed, nil
}

// addDevice gives a user a device with keys, as a client would upload them.
func (c *core) addDevice(user ident.UserID, id, name string) messaging.Device {
	d := messaging.Device{ID: id, Name: name, Keys: deviceKeys(user, id)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.devices == nil {
		c.devices = map[ident.UserID]messaging.UserDevices{}
	}
	list := c.devices[user]
	list.User, list.Devices = user, append(slices.Clone(list.Devices), d)
	c.devices[user] = list
	return d
}

func deviceKeys(user ident.UserID, id string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"algorithms":["m.olm.v1.curve25519-aes-sha2"],"device_id":%q,"keys":{"curve25519:%s":"3C5B"},"signatures":{},"user_id":%q}`,
		id, id, user))
}

func signingKey(user ident.UserID, usage string) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"keys":{"ed25519:%s":"%s"},"usage":[%q],"user_id":%q}`, usage, usage, usage, user))
}

// inJob runs what sends something in a job of its own.
func inJob(t *testing.T, s *messaging.Server, job func(tx *persistence.Tx) error) {
	t.Helper()
	if err := s.Store().Update(t.Context(), job); err != nil {
		t.Fatal(err)
	}
}

func (c *core) Profile(_ context.Context, user ident.UserID) (map[string]json.RawMessage, bool, error) {
	fields, found := c.profiles[user]
	return fields, found, nil
}

func (c *core) ResolveAlias(_ context.Context, alias ident.RoomAlias) (messaging.AliasTarget, bool, error) {
	target, found := c.aliases[alias]
	return target, found, nil
}

func (c *core) PublicRooms(_ context.Context, q messaging.PublicRoomsQuery) (messaging.PublicRoomsPage, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, q)
	return c.page, nil
}

func (c *core) OpenIDUser(_ context.Context, token string) (ident.UserID, bool, error) {
	user, found := c.tokens[token]
	return user, found, nil
}
