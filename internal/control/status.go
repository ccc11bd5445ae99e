// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"time"

	"github.com/strata-matrix/strata/persistence"
)

var opStatus = operation[struct{}, Status]{"status"}

// Status is how much a running server has still to do, in both directions. Times are ms, 0 when nothing waits.
type Status struct {
	QueuedPDUs   int   `json:"queued_pdus"` // items of the outbound log, whatever the number of servers that they are for
	QueuedEDUs   int   `json:"queued_edus"`
	OldestQueued int64 `json:"oldest_queued_ts"`
	Servers      int   `json:"servers"` // that anything was ever sent to
	Waiting      int   `json:"waiting"` // of them: failed, and tried again later
	Held         int   `json:"held"`    // of them: by a rule
	Ready        int   `json:"ready"`   // events to be judged
	OldestReady  int64 `json:"oldest_ready_ts"`
	Quarantined  int   `json:"quarantined"` // events whose references are missing
	StoreTook    int64 `json:"store_us"`    // how long the database took to tell this
}

// maxStatus bounds what is counted of each kind.
const maxStatus = 100_000

// Status tells how much there is to do.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return ask(ctx, c, opStatus, struct{}{})
}

func (h *handler) status(ctx context.Context, _ struct{}) (Status, error) {
	if h.server == nil {
		return Status{}, errNoServer
	}
	begun := time.Now()
	var waiting persistence.Pending
	err := h.server.Store().View(ctx, func(tx *persistence.Tx) (err error) {
		waiting, err = tx.Pending(maxStatus)
		return err
	})
	if err != nil {
		return Status{}, err
	}
	took := time.Since(begun)
	servers, err := h.server.Outbox().Census(ctx)
	if err != nil {
		return Status{}, err
	}
	return Status{
		QueuedPDUs: waiting.PDUs, QueuedEDUs: waiting.EDUs, OldestQueued: waiting.OldestQueued,
		Servers: servers.Total(), Waiting: servers.Waiting, Held: servers.Held,
		Ready: waiting.Ready, OldestReady: waiting.OldestReady, Quarantined: waiting.Quarantined, StoreTook: took.Microseconds(),
	}, nil
}
