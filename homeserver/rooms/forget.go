// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"net/http"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/persistence"
)

// forget is POST /rooms/{roomId}/forget, for a room that the user has left.
func (r *Rooms) forget(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	membership, err := r.membership(ctx, room, q.User)
	if err != nil {
		return api.Reply{}, err
	}
	err = r.store.Update(ctx, func(tx *persistence.Tx) error {
		if membership == "" {
			stays, err := roomview.Stays(tx, q.User, room)
			if err != nil {
				return err
			}
			if n := len(stays); n > 0 {
				membership = stays[n-1].Membership
			}
		}
		if membership == "join" || membership == "invite" || membership == "knock" {
			return &api.Error{Status: http.StatusBadRequest, Code: "M_UNKNOWN", Message: "leave the room before you forget it"}
		}
		return roomview.Forget(tx, q.User, room)
	})
	return api.Reply{}, err
}
