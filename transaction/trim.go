// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"
	"errors"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	// trimEvery is after how many answered transactions and pieces of news the outbound log is trimmed.
	trimEvery = 64
	// trimLooks is how many destinations are looked at for each of those at most.
	trimLooks = 8
	// trimPortion is how many rows one job of the store deletes, some milliseconds' work: after a long outage of one server
	// there may be millions to delete, and others want to use the store too.
	trimPortion = 1000
)

// delivered is up to where every destination is past the log. An idle one is past everything whose wake-up has been worked in.
func (o *Outbox) delivered() persistence.Position {
	through := o.seen
	for _, d := range o.destinations {
		if !d.atRest() {
			through = min(through, d.from)
		}
	}
	return through
}

// startTrim has what every destination is past forgotten, and what is old made short, on a goroutine of its own, of which there is one
// at a time: the dispatcher waits for no disk.
func (o *Outbox) startTrim(ctx context.Context) {
	o.stirred = 0
	through, now := o.delivered(), time.Now()
	work := trimming{through: through, compacted: o.compacted}
	if o.rooms != nil && through < o.seen && o.compacted.due(o.backlog, o.seen, now) {
		work.behind = o.laggards()
		work.compacted.at, work.compacted.seen = now, o.seen
	}
	if through <= o.trimmed && work.behind == nil {
		return
	}
	o.trimming = true
	go func() {
		err := o.trim(ctx, &work, now)
		work.err = err
		o.trims <- work
	}()
}

// trimming is one trim of the log.
type trimming struct {
	through   persistence.Position // every destination is past it
	behind    map[ident.ServerName]persistence.Position
	compacted compaction
	err       error
}

func (o *Outbox) trim(ctx context.Context, work *trimming, now time.Time) (err error) {
	err = inPortions(ctx, o.store, func(tx *persistence.Tx) (bool, error) {
		forgotten, err := tx.TrimOutbound(work.through, trimPortion)
		return forgotten == trimPortion, err
	})
	if err == nil && work.behind != nil {
		work.compacted, err = o.compact(ctx, work.compacted, work.behind, now)
	}
	return err
}

// settleTrim ends a trim. One that failed is made up for by the next: its error is only that the store has ended.
func (o *Outbox) settleTrim(done trimming) error {
	o.trimming = false
	if done.err == nil {
		o.trimmed, o.compacted = done.through, done.compacted
		return nil
	}
	if errors.Is(done.err, persistence.ErrClosed) {
		return done.err
	}
	o.trace.Emit(trace.TransactionStoreFailed{Error: done.err.Error()})
	return nil
}
