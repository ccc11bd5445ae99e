// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/transport/ident"
)

// longestJoined is the other servers in a room, those first whose oldest membership by the current state is the least deep in the
// graph: they are the likeliest to have its history (P-92). It reads the joined members' events.
func (e *Engine) longestJoined(ctx context.Context, head *room) ([]ident.ServerName, error) {
	var ids []ident.EventID
	err := state.ScanType(storedNodes{ctx, e}, head.current, memberType, func(user string, id ident.EventID) bool {
		if server := ident.UserID(user).Server(); server != e.self && head.servers[server] > 0 {
			ids = append(ids, id)
		}
		return true
	})
	if err != nil {
		return nil, fmt.Errorf("members of %s: %w", head.id, err)
	}
	since := map[ident.ServerName]int64{}
	for chunk := range slices.Chunk(ids, loadChunk) {
		members, err := e.eventsOf(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, x := range members {
			key, _ := x.StateKey()
			if m, _ := x.Membership(); m.Membership != "join" {
				continue
			}
			server := ident.UserID(key).Server()
			if depth, ok := since[server]; !ok || x.Depth() < depth {
				since[server] = x.Depth()
			}
		}
	}
	servers := make([]ident.ServerName, 0, len(since))
	for server := range since {
		servers = append(servers, server)
	}
	slices.SortFunc(servers, func(a, b ident.ServerName) int {
		return cmp.Or(cmp.Compare(since[a], since[b]), cmp.Compare(a, b))
	})
	return servers, nil
}
