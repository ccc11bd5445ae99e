// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
)

// How long the file keeps what is over. Whatever time and number say, it goes a portion at a time (trimPortion).
const (
	// keptTransactions is how long answered transactions of both directions are kept: to be looked at, and inbound ones to answer
	// them the same when they come again.
	keptTransactions = 7 * 24 * time.Hour

	// keptReplies is how long inbound ones are kept at least, however many there are: Synapse sends again for 20 minutes and begins
	// anew with another id, others go on for a day (T-03).
	keptReplies = 24 * time.Hour

	// maxKeptSent and maxKeptReceived are how many of each are kept: one event in a room of ten thousand servers makes as many outbound ones.
	maxKeptSent     = 100_000
	maxKeptReceived = 500_000

	// maxKeptSets is how many of the newest sets of servers are kept though the outbound log names them no more: those of the rooms in
	// which something happens.
	maxKeptSets = 1000

	// trimPause is from one round to the next. What comes in between is beyond the numbers above.
	trimPause = 10 * time.Minute
)

// Retention forgets transactions that are over and what only they needed. Nothing that is still to be sent is its affair: the outbound
// log is trimmed by the outbox.
type Retention struct {
	store *persistence.Store
	trace trace.Sink
}

// NewRetention returns a retention over a store; sink may be nil.
func NewRetention(store *persistence.Store, sink trace.Sink) *Retention {
	return &Retention{store: store, trace: trace.OrDiscard(sink)}
}

// Run trims now and then until ctx ends, then it returns nil. Its error is that the store has ended.
func (r *Retention) Run(ctx context.Context) error {
	timer := time.NewTimer(trimPause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if err := r.trim(ctx, time.Now()); err != nil {
			if errors.Is(err, persistence.ErrClosed) || ctx.Err() != nil {
				return endOf(ctx, err)
			}
			r.trace.Emit(trace.TransactionStoreFailed{Error: err.Error()})
		}
		timer.Reset(trimPause)
	}
}

func (r *Retention) trim(ctx context.Context, now time.Time) error {
	sent, received, err := r.limits(ctx, now)
	if err != nil {
		return err
	}
	err = inPortions(ctx, r.store, func(tx *persistence.Tx) (bool, error) {
		n, err := tx.TrimSent(sent, trimPortion)
		return n == trimPortion, err
	})
	if err != nil {
		return fmt.Errorf("trim sent transactions: %w", err)
	}
	err = inPortions(ctx, r.store, func(tx *persistence.Tx) (bool, error) {
		n, err := tx.TrimReceived(received, trimPortion)
		return n == trimPortion, err
	})
	if err != nil {
		return fmt.Errorf("trim received transactions: %w", err)
	}
	var next int64
	err = inPortions(ctx, r.store, func(tx *persistence.Tx) (bool, error) {
		_, after, err := tx.TrimServerSets(next, maxKeptSets, trimPortion)
		if err == nil {
			next = after
		}
		return after != 0, err
	})
	if err != nil {
		return fmt.Errorf("trim sets of servers: %w", err)
	}
	return nil
}

// limits is the times in ms before which sent and received transactions are forgotten.
func (r *Retention) limits(ctx context.Context, now time.Time) (sent, received int64, err error) {
	err = r.store.View(ctx, func(tx *persistence.Tx) (err error) {
		if sent, err = tx.AnsweredBefore(maxKeptSent); err == nil {
			received, err = tx.ReceivedBefore(maxKeptReceived)
		}
		return err
	})
	old := now.Add(-keptTransactions).UnixMilli()
	return max(old, sent), max(old, min(received, now.Add(-keptReplies).UnixMilli())), err
}

// inPortions has jobs of the store do a work that is too long for one, until one says that there is no more.
func inPortions(ctx context.Context, store *persistence.Store, portion func(*persistence.Tx) (more bool, err error)) error {
	for more := true; more; {
		err := store.Update(ctx, func(tx *persistence.Tx) (err error) {
			more, err = portion(tx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
