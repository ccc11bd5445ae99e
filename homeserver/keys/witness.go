// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// DeviceChanged implements accounts.Witness: others see the name of a device that has keys.
func (k *Keys) DeviceChanged(tx *persistence.Tx, user ident.UserID, device string) error {
	return k.tellDevice(tx, user, device)
}

// DevicesRemoved implements accounts.Witness: a device's keys go with it.
func (k *Keys) DevicesRemoved(tx *persistence.Tx, user ident.UserID, devices []string) error {
	for _, device := range devices {
		had := false
		for _, query := range []string{
			`DELETE FROM hs_device_keys WHERE user = ? AND device = ?`,
			`DELETE FROM hs_one_time_keys WHERE user = ? AND device = ?`,
			`DELETE FROM hs_fallback_keys WHERE user = ? AND device = ?`,
			`DELETE FROM hs_signatures WHERE user = ? AND key = ?`,
		} {
			n, err := tx.Exec(query, string(user), device)
			if err != nil {
				return err
			}
			had = had || n > 0
		}
		if !had {
			continue
		}
		if err := changed(tx, user); err != nil {
			return err
		}
		if err := k.teller.SendDeviceListUpdate(tx, user, messaging.Device{ID: device, Deleted: true}); err != nil {
			return err
		}
	}
	return nil
}

// UserDeactivated implements accounts.Witness.
func (k *Keys) UserDeactivated(tx *persistence.Tx, user ident.UserID) error {
	_, err := tx.Exec(`DELETE FROM hs_signing_keys WHERE user = ?`, string(user))
	return err
}
