// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"

	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// MayInvite implements messaging.Invites: whoever has an account may be invited.
func (r *Rooms) MayInvite(ctx context.Context, _, invitee ident.UserID, _ ident.RoomID) error {
	known := false
	err := r.store.View(ctx, func(tx *persistence.Tx) (err error) {
		known, err = r.known(tx, invitee)
		return err
	})
	if err == nil && !known {
		return messaging.ErrInviteRefused
	}
	return err
}

// Changed implements messaging.Invites: what a client is to be told of a room that this server is not in is kept with the user's
// memberships, and entered in the stream.
func (r *Rooms) Changed(tx *persistence.Tx, s messaging.Standing) error {
	return roomview.SetOutside(tx, s)
}
