// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"sync"

	"github.com/strata-matrix/strata/transport/ident"
)

// turns lets one at a time do something about a room. mu guards taken, which holds the rooms whose turn is taken.
type turns struct {
	mu    sync.Mutex
	taken map[ident.RoomID]chan struct{} // closed when the turn is over
}

// take waits for the turn; release ends it.
func (t *turns) take(ctx context.Context, room ident.RoomID) (release func(), err error) {
	for {
		t.mu.Lock()
		over, busy := t.taken[room]
		if !busy {
			mine := make(chan struct{})
			t.taken[room] = mine
			t.mu.Unlock()
			return func() {
				t.mu.Lock()
				delete(t.taken, room)
				t.mu.Unlock()
				close(mine)
			}, nil
		}
		t.mu.Unlock()
		select {
		case <-over:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
