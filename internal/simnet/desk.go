// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// desk is a node's homeserver, as far as lists of devices go: it keeps them in tables of its own, in the same file and the same jobs as the
// server's. The devices of its own user are apart from the one that messages are written to, which always is there.
type desk struct {
	node *node
}

// listTables are the homeserver's: devices with their names, of its own user and of others, and whose lists it has.
const listTables = `
CREATE TABLE sim_devices (user TEXT NOT NULL, device TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (user, device)) STRICT;
CREATE TABLE sim_lists (user TEXT PRIMARY KEY, stale INTEGER NOT NULL) STRICT;`

// core is a node's homeserver, with lists of devices where the script needs them.
func (n *node) core(*messaging.Server) (messaging.Core, error) {
	made := messaging.Core{ToDevice: device{n.user}, Invites: n}
	if n.world.Script.Devices {
		d := &desk{n}
		made.DeviceLists, made.Devices = d, d
	}
	return made, nil
}

// DeviceChanged implements messaging.DeviceLists.
func (d *desk) DeviceChanged(tx *persistence.Tx, user ident.UserID, device messaging.Device) error {
	var stale bool
	found, err := tx.QueryRow(`SELECT stale FROM sim_lists WHERE user = ?`, []any{string(user)}, &stale)
	if err != nil {
		return err
	}
	if !found || stale {
		d.node.world.fault("%s is told of device %s of %s, whose list is not up to date", d.node.name, device.ID, user)
	}
	tx.AfterCommit(func() {
		d.node.world.Timeline.Add(string(d.node.name), "hears of %s of %s: %q", device.ID, user, device.Name)
	})
	return putDevice(tx, user, device)
}

func putDevice(tx *persistence.Tx, user ident.UserID, device messaging.Device) (err error) {
	if device.Deleted {
		_, err = tx.Exec(`DELETE FROM sim_devices WHERE user = ? AND device = ?`, string(user), device.ID)
	} else {
		_, err = tx.Exec(`INSERT OR REPLACE INTO sim_devices (user, device, name) VALUES (?, ?, ?)`, string(user), device.ID, device.Name)
	}
	return err
}

// DevicesStale implements messaging.DeviceLists.
func (d *desk) DevicesStale(tx *persistence.Tx, user ident.UserID) error {
	tx.AfterCommit(func() { d.node.world.Timeline.Add(string(d.node.name), "lacks devices of %s", user) })
	_, err := tx.Exec(`INSERT OR REPLACE INTO sim_lists (user, stale) VALUES (?, 1)`, string(user))
	return err
}

// DevicesReplaced implements messaging.DeviceLists.
func (d *desk) DevicesReplaced(tx *persistence.Tx, list messaging.UserDevices) error {
	if _, err := tx.Exec(`DELETE FROM sim_devices WHERE user = ?`, string(list.User)); err != nil {
		return err
	}
	for _, device := range list.Devices {
		if err := putDevice(tx, list.User, device); err != nil {
			return err
		}
	}
	tx.AfterCommit(func() {
		d.node.world.Timeline.Add(string(d.node.name), "has the devices of %s: %v", list.User, list.Devices)
	})
	_, err := tx.Exec(`INSERT OR REPLACE INTO sim_lists (user, stale) VALUES (?, 0)`, string(list.User))
	return err
}

// SigningKeysChanged implements messaging.DeviceLists.
func (d *desk) SigningKeysChanged(*persistence.Tx, ident.UserID, messaging.SigningKeys) error {
	return nil
}

// UserDevices implements messaging.Devices.
func (d *desk) UserDevices(tx *persistence.Tx, user ident.UserID) (list messaging.UserDevices, found bool, err error) {
	list = messaging.UserDevices{User: user}
	err = tx.Query(`SELECT device, name FROM sim_devices WHERE user = ? ORDER BY device`, []any{string(user)}, func(r persistence.Row) error {
		var id, name string
		err := r.Scan(&id, &name)
		list.Devices = append(list.Devices, deviceOf(user, id, name))
		return err
	})
	return list, true, err
}

func deviceOf(user ident.UserID, id, name string) messaging.Device {
	keys := fmt.Sprintf(`{"device_id":%q,"keys":{},"user_id":%q}`, id, user)
	return messaging.Device{ID: id, Name: name, Keys: json.RawMessage(keys)}
}

// QueryKeys implements messaging.Devices.
func (d *desk) QueryKeys(context.Context, ident.ServerName, map[ident.UserID][]string) (messaging.Keys, error) {
	return messaging.Keys{}, nil
}

// ClaimKeys implements messaging.Devices.
func (d *desk) ClaimKeys(context.Context, messaging.KeyClaims) (messaging.ClaimedKeys, error) {
	return nil, nil
}

func (s *Script) parseChanges(words []string) (func(*actor), error) {
	n, err := times(words)
	s.Devices = true
	return func(a *actor) { a.changeDevices(n) }, err
}

// changeDevices adds, renames and removes devices of the user, each change told in the job that makes it.
func (a *actor) changeDevices(n int) {
	for range n {
		a.said++
		device := deviceOf(a.node.user, fmt.Sprint("D", a.rand.IntN(4)), fmt.Sprint("name ", a.said))
		if a.rand.IntN(3) == 0 {
			device = messaging.Device{ID: device.ID, Deleted: true}
		}
		server := a.breathe()
		err := server.Store().Update(context.Background(), func(tx *persistence.Tx) error {
			if err := putDevice(tx, a.node.user, device); err != nil {
				return err
			}
			return server.SendDeviceListUpdate(tx, a.node.user, device)
		})
		if err != nil && !dying(err) {
			a.world.fault("%s: change of device %s: %v", a.node.name, device.ID, err)
		}
		a.world.Timeline.Add(string(a.node.name), "changes device %s: %q: %v", device.ID, device.Name, err)
	}
}

// Desk is what a homeserver has at the end of a run.
type Desk struct {
	Devices map[ident.UserID][]string // with their names, of the user and of others
	Stale   []string                  // users whose lists are out of date
}

func readDesk(tx *persistence.Tx) (*Desk, error) {
	d := &Desk{Devices: map[ident.UserID][]string{}}
	err := tx.Query(`SELECT user, device, name FROM sim_devices ORDER BY user, device`, nil, func(r persistence.Row) error {
		var user ident.UserID
		var device, name string
		err := r.Scan(&user, &device, &name)
		d.Devices[user] = append(d.Devices[user], device+": "+name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return d, tx.Query(`SELECT user FROM sim_lists WHERE stale = 1`, nil, func(r persistence.Row) error {
		var user string
		err := r.Scan(&user)
		d.Stale = append(d.Stale, user)
		return err
	})
}

// devicesAgree: whoever shares a room with a user has the user's devices as they are (M-56 to M-59).
func devicesAgree(e End) (wrong []string) {
	for _, of := range e.joined() {
		for _, at := range e.joined() {
			if of.Desk == nil || at.Desk == nil || of.Server == at.Server {
				continue
			}
			if want, has := of.Desk.Devices[of.User], at.Desk.Devices[of.User]; !slices.Equal(want, has) {
				wrong = append(wrong, fmt.Sprintf("%s has devices %q, %s believes %q", of.User, want, at.Server, has))
			}
		}
	}
	for _, s := range e.Snapshots {
		if s.Desk != nil && s.Joined && len(s.Desk.Stale) > 0 {
			wrong = append(wrong, fmt.Sprintf("%s has not fetched the devices of %v", s.Server, s.Desk.Stale))
		}
	}
	return wrong
}
