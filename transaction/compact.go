// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	// compactPause is how long the log is left as it is when little was queued: what has become too old is found a little later.
	compactPause = 10 * time.Minute

	// compactWhole is how often what was compacted already is looked at again: some of it is needed no more, since others came back.
	compactWhole = 24 * time.Hour
)

// compaction is how far the log is compacted. The dispatcher owns it, and lends it to the goroutine that trims.
type compaction struct {
	at      time.Time            // it was last compacted
	seen    persistence.Position // when this was the last item
	whole   time.Time            // it was last looked through from its beginning
	through persistence.Position // up to here it is compacted
}

// due says whether it is time to compact: an eighth of what may wait has come since, or time has gone by.
func (c compaction) due(backlog Backlog, seen persistence.Position, now time.Time) bool {
	return seen-c.seen > persistence.Position(backlog.Items/8) || now.Sub(c.at) >= compactPause
}

// laggards is the servers that may still have something to get, with where they stand.
func (o *Outbox) laggards() map[ident.ServerName]persistence.Position {
	behind := map[ident.ServerName]persistence.Position{}
	for name, d := range o.destinations {
		if !d.atRest() {
			behind[name] = d.from
		}
	}
	return behind
}

// compact shortens the old part of the log to what those who are behind need when they come back.
func (o *Outbox) compact(ctx context.Context, done compaction, behind map[ident.ServerName]persistence.Position, now time.Time) (compaction, error) {
	if now.Sub(done.whole) >= compactWhole {
		done.whole, done.through = now, 0
	}
	work := persistence.Compaction{
		After: done.through, Behind: behind,
		Before: now.Add(-o.backlog.Age).UnixMilli(), Drop: now.Add(-maxEDUAge).UnixMilli(),
	}
	err := o.store.View(ctx, func(tx *persistence.Tx) (err error) {
		work.Through, err = tx.OldestOf(o.backlog.Items)
		return err
	})
	if err != nil {
		return done, err
	}
	total := persistence.Compacted{}
	err = inPortions(ctx, o.store, func(tx *persistence.Tx) (bool, error) {
		portion, err := tx.CompactOutbound(work, trimPortion)
		if err != nil {
			return false, err
		}
		work.After = portion.Through
		total.Forgotten += portion.Forgotten
		total.Dropped += portion.Dropped
		return portion.More, nil
	})
	if total.Forgotten > 0 {
		o.trace.Emit(trace.TransactionCompacted{Items: total.Forgotten, DroppedEDUs: total.Dropped, Behind: len(behind)})
	}
	done.through = work.After
	return done, err
}
