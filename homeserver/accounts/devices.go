// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const devicesSchema = `
CREATE TABLE hs_devices (
	user    TEXT    NOT NULL,
	device  TEXT    NOT NULL,
	name    TEXT    NOT NULL, -- '' for none
	created INTEGER NOT NULL, -- ms
	seen    INTEGER NOT NULL DEFAULT 0,  -- ms, when it last asked for something, some minutes behind; 0: never
	address TEXT    NOT NULL DEFAULT '', -- whence
	PRIMARY KEY (user, device)
) STRICT, WITHOUT ROWID;`

// Device is a device of a user.
type Device struct {
	ID   string
	Name string // "" for none
}

// Witness has something of its own about users and devices. It is told in the job in which something happens to them; an error
// undoes it.
type Witness interface {
	// UserRegistered: the user is new.
	UserRegistered(tx *persistence.Tx, user ident.UserID) error
	// DeviceChanged: the device is new, or has another name.
	DeviceChanged(tx *persistence.Tx, user ident.UserID, device string) error
	// DevicesRemoved: these devices are no more, and everything of them has to go.
	DevicesRemoved(tx *persistence.Tx, user ident.UserID, devices []string) error
	// UserDeactivated: the user is no more, and every device of theirs was removed before.
	UserDeactivated(tx *persistence.Tx, user ident.UserID) error
}

// Bystander is a Witness that does nothing, for others to be made of that have something of some of it only.
type Bystander struct{}

// UserRegistered implements Witness.
func (Bystander) UserRegistered(*persistence.Tx, ident.UserID) error { return nil }

// DeviceChanged implements Witness.
func (Bystander) DeviceChanged(*persistence.Tx, ident.UserID, string) error { return nil }

// DevicesRemoved implements Witness.
func (Bystander) DevicesRemoved(*persistence.Tx, ident.UserID, []string) error { return nil }

// UserDeactivated implements Witness.
func (Bystander) UserDeactivated(*persistence.Tx, ident.UserID) error { return nil }

// Devices gives the devices of a user, by id.
func Devices(tx *persistence.Tx, user ident.UserID) (list []Device, err error) {
	const query = `SELECT device, name FROM hs_devices WHERE user = ? ORDER BY device`
	err = tx.Query(query, []any{string(user)}, func(r persistence.Row) error {
		var d Device
		err := r.Scan(&d.ID, &d.Name)
		list = append(list, d)
		return err
	})
	return list, err
}

// DeviceOf gives one device of a user.
func DeviceOf(tx *persistence.Tx, user ident.UserID, id string) (d Device, found bool, err error) {
	d.ID = id
	found, err = tx.QueryRow(`SELECT name FROM hs_devices WHERE user = ? AND device = ?`, []any{string(user), id}, &d.Name)
	return d, found, err
}

// addDevice enters a device, unless there is one of that id; added tells.
func (a *Accounts) addDevice(tx *persistence.Tx, user ident.UserID, d Device, now time.Time) (added bool, err error) {
	const insert = `INSERT OR IGNORE INTO hs_devices (user, device, name, created) VALUES (?, ?, ?, ?)`
	n, err := tx.Exec(insert, string(user), d.ID, d.Name, now.UnixMilli())
	if err != nil || n == 0 {
		return false, err
	}
	return true, a.changed(tx, user, d.ID)
}

// renameDevice gives a device another name; found is false when there is none.
func (a *Accounts) renameDevice(tx *persistence.Tx, user ident.UserID, d Device) (found bool, err error) {
	n, err := tx.Exec(`UPDATE hs_devices SET name = ? WHERE user = ? AND device = ?`, d.Name, string(user), d.ID)
	if err != nil || n == 0 {
		return false, err
	}
	return true, a.changed(tx, user, d.ID)
}

// removeDevices removes those of the devices that there are, with their tokens.
func (a *Accounts) removeDevices(tx *persistence.Tx, user ident.UserID, ids []string) error {
	var gone []string
	for _, id := range ids {
		n, err := tx.Exec(`DELETE FROM hs_devices WHERE user = ? AND device = ?`, string(user), id)
		if err != nil {
			return err
		}
		if n == 0 {
			continue
		}
		gone = append(gone, id)
		tx.AfterCommit(func() { a.sightings.forget(deviceKey{user, id}) })
		if err := a.dropTokens(tx, user, id); err != nil {
			return err
		}
	}
	if len(gone) == 0 {
		return nil
	}
	for _, w := range a.witnesses {
		if err := w.DevicesRemoved(tx, user, gone); err != nil {
			return err
		}
	}
	return nil
}

// removeOtherDevices removes all devices of a user but one, "" for all.
func (a *Accounts) removeOtherDevices(tx *persistence.Tx, user ident.UserID, keep string) error {
	list, err := Devices(tx, user)
	if err != nil {
		return err
	}
	var ids []string
	for _, d := range list {
		if d.ID != keep {
			ids = append(ids, d.ID)
		}
	}
	return a.removeDevices(tx, user, ids)
}

func (a *Accounts) changed(tx *persistence.Tx, user ident.UserID, device string) error {
	for _, w := range a.witnesses {
		if err := w.DeviceChanged(tx, user, device); err != nil {
			return err
		}
	}
	return nil
}
