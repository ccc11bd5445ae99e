// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
)

// changePassword is POST /account/password. The user's other devices go with the old password, unless the client asks for them to stay.
func (a *Accounts) changePassword(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body struct {
		Password string `json:"new_password"`
		Logout   *bool  `json:"logout_devices"`
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if err := a.interactive.Confirm(ctx, r, "change the password"); err != nil {
		return api.Reply{}, err
	}
	if err := checkPassword("new_password", body.Password); err != nil {
		return api.Reply{}, err
	}
	hash, err := a.passwords.Hash(ctx, body.Password)
	if err != nil {
		return api.Reply{}, err
	}
	return api.Reply{}, a.store.Update(ctx, func(tx *persistence.Tx) error {
		if known, err := Known(tx, r.User); err != nil || !known {
			return err // deactivated meanwhile: no password lets them in
		}
		if err := setPassword(tx, r.User, hash); err != nil || body.Logout != nil && !*body.Logout {
			return err
		}
		return a.removeOtherDevices(tx, r.User, r.Device)
	})
}

// deactivate is POST /account/deactivate.
func (a *Accounts) deactivate(ctx context.Context, r *api.Request) (api.Reply, error) {
	if err := a.interactive.Confirm(ctx, r, "deactivate"); err != nil {
		return api.Reply{}, err
	}
	err := a.store.Update(ctx, func(tx *persistence.Tx) error {
		if err := setDeactivated(tx, r.User, time.Now()); err != nil {
			return err
		}
		if err := a.removeOtherDevices(tx, r.User, ""); err != nil {
			return err
		}
		for _, w := range a.witnesses {
			if err := w.UserDeactivated(tx, r.User); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]string{"id_server_unbind_result": "no-support"})
}
