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
	membership, err := r.anyMembership(ctx, room, q.User)
	if err != nil {
		return api.Reply{}, err
	}
	if membership == "join" || membership == "invite" || membership == "knock" {
		return api.Reply{}, &api.Error{Status: http.StatusBadRequest, Code: "M_UNKNOWN", Message: "leave the room before you forget it"}
	}
	return api.Reply{}, r.store.Update(ctx, func(tx *persistence.Tx) error { return roomview.Forget(tx, q.User, room) })
}
