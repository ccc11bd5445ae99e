// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// MayInvite implements messaging.Invites: whoever has an account may be invited, and has not said that they will not be (M-37).
func (r *Rooms) MayInvite(ctx context.Context, _, invitee ident.UserID, _ ident.RoomID) error {
	return r.store.View(ctx, func(tx *persistence.Tx) error {
		known, err := r.known(tx, invitee)
		if err != nil {
			return err
		}
		if !known {
			return messaging.ErrInviteRefused
		}
		chosen, found, err := accountdata.Get(tx, invitee, "", "m.invite_permission_config")
		if err != nil || !found {
			return err
		}
		var config struct {
			Default string `json:"default_action"`
		}
		if json.Unmarshal(chosen, &config) == nil && config.Default == "block" { // what makes no sense blocks nobody
			return messaging.ErrInviteBlocked
		}
		return nil
	})
}

// Changed implements messaging.Invites: what a client is to be told of a room that this server is not in is kept with the user's
// memberships, and entered in the stream.
func (r *Rooms) Changed(tx *persistence.Tx, s messaging.Standing) error {
	return roomview.SetOutside(tx, s)
}
