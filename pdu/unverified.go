// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// An event of a transaction whose signing key could not be had is neither good nor bad: the server that signed it may be down,
// and the one that sent it will not send it again. It is kept aside and goes through the intake again at growing
// intervals for a day. Events that were asked for are not kept: they will be asked for again.

// spaceUnverified is how many more events of the origin can be kept. Those that are kept already have their space.
func (i *intake) spaceUnverified(ctx context.Context, faults []error) (space int, err error) {
	wanted := false
	for _, fault := range faults {
		wanted = wanted || errors.Is(fault, event.ErrNoKey)
	}
	if !wanted || i.arrival != arrivedInTransaction {
		return 0, nil
	}
	if i.again {
		return len(faults), nil
	}
	err = i.e.store.View(ctx, func(tx *persistence.Tx) error {
		own, all, err := tx.UnverifiedCount(i.origin)
		space = min(maxUnverifiedOfOrigin-own, maxUnverified-all)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("count unverified events: %w", err)
	}
	return space, nil
}

// postpone records an event that is kept unverified.
func (i *intake) postpone(v Verdict, why Check) {
	v.Outcome, v.Origin, v.Via, v.Txn, v.ReceivedAt, v.JudgedAt = Quarantined, i.origin, i.arrival, i.txn, i.now, i.now
	v.Checks = append(v.Checks, why)
	i.dropped = append(i.dropped, v)
	i.results[v.Event] = ""
	i.traceOf(v.Room, v.Event, why.Detail)
}

// keepUnverified makes durable what waits for a key for the first time.
func (i *intake) keepUnverified(tx *persistence.Tx) error {
	kept := false
	for _, in := range i.arrived {
		if !in.noKey || i.again {
			continue
		}
		err := tx.KeepUnverified(persistence.Unverified{
			Origin: i.origin, Event: in.event.ID(), ReceivedAt: i.now, RetryAt: i.now + retryFirst.Milliseconds(), JSON: in.event.JSON(),
		})
		if err != nil {
			return err
		}
		kept = true
	}
	if kept {
		tx.AfterCommit(func() {
			select {
			case i.e.unverified <- struct{}{}:
			default:
			}
		})
	}
	return nil
}

// verifyLater verifies again what is due, until the engine or its store ends.
func (e *Engine) verifyLater() {
	for e.stopped.Err() == nil {
		wait, err := e.verifyDue()
		if errors.Is(err, persistence.ErrClosed) {
			return
		}
		if err != nil && e.stopped.Err() == nil {
			e.trace.Emit(trace.PDURoomFailed{Err: fmt.Errorf("verify events again: %w", err)})
			wait = retryFailure
		}
		timer := time.NewTimer(wait)
		select {
		case <-e.stopped.Done():
		case <-timer.C:
		case <-e.unverified:
		}
		timer.Stop()
	}
}

// verifyDue verifies again some of what is due, and says how long it is until more is.
func (e *Engine) verifyDue() (wait time.Duration, err error) {
	now := nowMS()
	var due []persistence.Unverified
	wait = idleWait
	err = e.store.View(e.stopped, func(tx *persistence.Tx) (err error) {
		if due, err = tx.DueUnverified(now, maxVerifiedAgain); err != nil || len(due) > 0 {
			return err
		}
		at, any, err := tx.NextUnverified()
		if any {
			wait = time.Duration(at-now) * time.Millisecond
		}
		return err
	})
	if err != nil || len(due) == 0 {
		return wait, err
	}
	ofOrigin := map[ident.ServerName][]persistence.Unverified{}
	for _, u := range due {
		ofOrigin[u.Origin] = append(ofOrigin[u.Origin], u)
	}
	for origin, list := range ofOrigin {
		if err := e.verifyAgain(origin, list); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// verifyAgain takes in what an origin has sent before. What fails for a reason of its own, or of ours, waits longer.
func (e *Engine) verifyAgain(origin ident.ServerName, list []persistence.Unverified) error {
	ctx, cancel := context.WithTimeout(e.stopped, searchTimeout)
	defer cancel()
	i := &intake{
		e: e, origin: origin, arrival: arrivedInTransaction, now: nowMS(), results: map[ident.EventID]string{}, again: true,
	}
	failure := i.retake(ctx, list)
	if e.stopped.Err() != nil {
		return failure
	}
	waits := i.expire(list)
	err := e.store.Update(e.stopped, func(tx *persistence.Tx) error {
		if failure == nil {
			if err := i.stage(tx); err != nil {
				return err
			}
		}
		for _, u := range list {
			if err := afterVerifying(tx, u, i.now, failure != nil || waits[u.Event]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return failure
}

func (i *intake) retake(ctx context.Context, list []persistence.Unverified) error {
	wires := make([][]byte, len(list))
	for n, u := range list {
		wires[n] = u.JSON
	}
	if err := i.take(ctx, wires...); err != nil {
		return err
	}
	return i.check(ctx)
}

// expire gives what is to wait longer, and corrects the records of what has waited long enough.
func (i *intake) expire(list []persistence.Unverified) (waits map[ident.EventID]bool) {
	waits = map[ident.EventID]bool{}
	for _, in := range i.arrived {
		if in.noKey || in.full {
			waits[in.event.ID()] = true
		}
	}
	for _, u := range list {
		expired := time.Duration(i.now-u.ReceivedAt)*time.Millisecond >= keptUnverified
		if expired {
			delete(waits, u.Event)
		}
		for n := range i.dropped {
			if v := &i.dropped[n]; v.Event == u.Event && v.Outcome == Quarantined {
				v.ReceivedAt = u.ReceivedAt
				if expired {
					v.Outcome = Dropped
				}
			}
		}
	}
	return waits
}

func afterVerifying(tx *persistence.Tx, u persistence.Unverified, now int64, waits bool) error {
	if !waits {
		return tx.DropUnverified(u.NID)
	}
	attempts := u.Attempts + 1
	return tx.RetryUnverified(u.NID, attempts, now+retryAfter(attempts+1).Milliseconds())
}
