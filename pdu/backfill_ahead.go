// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// After a join, and after a gap that nobody would close, users look at what was said before: some of it is fetched before they
// ask, a little later, so that all who joined at one time do not ask at one time. What is beyond that is fetched on demand. A restart
// in between forgets it.

// fetchHistoryLater has some of a room's history fetched, if this server does so.
func (e *Engine) fetchHistoryLater(id ident.RoomID) {
	if e.ahead == 0 {
		return
	}
	now := time.Now()
	e.appointOnce(appointment{id, recall}, now.Add(recallWait+e.jitter.Of(recallWait, string(id), now)))
}

func (e *Engine) fetchHistory(id ident.RoomID) {
	ctx, cancel := context.WithTimeout(e.stopped, searchTimeout)
	defer cancel()
	_, err := e.Backfill(ctx, id, e.ahead)
	gone := errors.Is(err, ErrNotJoined) || errors.Is(err, persistence.ErrClosed)
	if err != nil && ctx.Err() == nil && !gone {
		e.trace.Emit(trace.PDURoomFailed{Room: string(id), Err: fmt.Errorf("fetch history ahead: %w", err)})
	}
}
