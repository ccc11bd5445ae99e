// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"
	"errors"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
)

const (
	// trimEvery is after how many answered transactions the outbound log is trimmed.
	trimEvery = 64
	// trimPortion is how many rows one job of the store deletes, some milliseconds' work: after a long outage of one server
	// there may be millions to delete, and others want to use the store too.
	trimPortion = 1000
)

// delivered is up to where every destination is past the log. An idle one is past everything whose wake-up has been worked in.
func (o *Outbox) delivered() persistence.Position {
	through := o.seen
	for _, d := range o.destinations {
		if d.phase != idle {
			through = min(through, d.from)
		}
	}
	return through
}

// startTrim has what every destination is past forgotten, on a goroutine of its own, of which there is one at a time: the
// dispatcher waits for no disk.
func (o *Outbox) startTrim(ctx context.Context) {
	o.ended = 0
	through := o.delivered()
	if through <= o.trimmed {
		return
	}
	o.trimmed, o.trimming = through, true
	go func() { o.trims <- o.trim(ctx, through) }()
}

func (o *Outbox) trim(ctx context.Context, through persistence.Position) error {
	return inPortions(ctx, o.store, func(tx *persistence.Tx) (bool, error) {
		forgotten, err := tx.TrimOutbound(through, trimPortion)
		return forgotten == trimPortion, err
	})
}

// settleTrim ends a trim. One that failed is made up for by the next: its error is only that the store has ended.
func (o *Outbox) settleTrim(err error) error {
	o.trimming = false
	if err == nil || errors.Is(err, persistence.ErrClosed) {
		return err
	}
	o.trimmed = 0
	o.trace.Emit(trace.TransactionStoreFailed{Error: err.Error()})
	return nil
}
