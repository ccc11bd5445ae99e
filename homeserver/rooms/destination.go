// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/transport/ident"
)

// destination is the room that the path names, by its id or an alias, and the servers over which to reach it: those of the query, which
// calls them via, or server_name as before v1.12.
func (r *Rooms) destination(ctx context.Context, q *api.Request) (room ident.RoomID, via []ident.ServerName, err error) {
	for _, name := range append(q.Query["via"], q.Query["server_name"]...) {
		server, err := ident.ParseServerName(name)
		if err != nil {
			return "", nil, api.InvalidParam("via: %v", err)
		}
		via = append(via, server)
	}
	named := q.Param("roomIDOrAlias")
	if named == "" {
		named = q.Param("roomID")
	}
	if alias, err := ident.ParseRoomAlias(named); err == nil {
		room, servers, err := r.resolve(ctx, alias)
		return room, append(via, servers...), err
	}
	if room, err = ident.ParseRoomID(named); err != nil {
		return "", nil, api.InvalidParam("room id or alias: %v", err)
	}
	return room, via, nil
}
