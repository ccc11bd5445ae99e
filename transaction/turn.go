// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport"
)

// turn is one destination's turn: at most one transaction, frozen, sent once and its outcome stored. It runs on a goroutine
// of its own and owns nothing but its own fields.
type turn struct {
	outbox      *Outbox
	destination *destination // handed back with the outcome; not touched here
	stored      persistence.Destination
	from        persistence.Position
	random      float64
}

func (t turn) run(ctx context.Context) outcome {
	result := outcome{destination: t.destination, stored: t.stored, from: t.from}
	next, err := t.freeze(ctx)
	switch {
	case err != nil:
		return t.postpone(result, err)
	case !next.found:
		result.from, result.more = next.from, !next.atEnd
		return result
	}
	attempt, reply, retryAfter := t.attempt(ctx, next.transaction)
	if ctx.Err() != nil {
		return result // broken off by us: no fault of the destination
	}
	result.stored, err = t.record(ctx, next.transaction, attempt, reply, retryAfter)
	switch {
	case err != nil:
		return t.postpone(result, err)
	case result.stored.RetryAt != 0:
		result.retryAt = time.UnixMilli(result.stored.RetryAt)
	default:
		result.sent, result.more, result.from = true, true, next.transaction.Through
	}
	return result
}

// postpone answers a failure of our own store: the destination is not to blame, and is tried again soon.
func (t turn) postpone(result outcome, err error) outcome {
	result.err = err
	result.retryAt = time.Now().Add(t.outbox.policy.First)
	return result
}

// frozen is what freeze found.
type frozen struct {
	transaction persistence.SentTransaction
	found       bool
	from        persistence.Position // without a transaction: how far the log has been looked through
	atEnd       bool
}

// freeze gives the transaction to send: the one that is still unanswered, or else a new one of what is queued, made durable
// before anyone sees it.
func (t turn) freeze(ctx context.Context) (next frozen, err error) {
	name := t.stored.Server
	err = t.outbox.store.Update(ctx, func(tx *persistence.Tx) error {
		next = frozen{}
		next.transaction, next.found, err = tx.OpenTransaction(name)
		if err != nil || next.found {
			return err
		}
		items, through, atEnd, err := tx.NextOutbound(name, t.from, MaxPDUs+MaxEDUs, maxScan)
		if err != nil {
			return err
		}
		next.from, next.atEnd = through, atEnd
		if len(items) == 0 {
			return nil
		}
		if n := fitting(items); n < len(items) {
			items, through = items[:n], items[n-1].Position
		}
		next.found = true
		next.transaction, err = tx.Freeze(compose(t.outbox.self, name, items, through, time.Now().UnixMilli()))
		return err
	})
	if err != nil {
		return frozen{}, fmt.Errorf("freeze transaction for %s: %w", name, err)
	}
	return next, nil
}

// attempt sends the transaction once. reply is not nil exactly when it was answered with 200.
func (t turn) attempt(ctx context.Context, txn persistence.SentTransaction) (a persistence.Attempt, reply []byte, retryAfter time.Duration) {
	start := time.Now()
	a = persistence.Attempt{Number: txn.Attempts + 1, StartedAt: start.UnixMilli()}
	name := string(txn.Destination)
	t.outbox.trace.Emit(trace.TransactionSending{
		Destination: name, TxnID: txn.TxnID, PDUs: txn.PDUs, EDUs: txn.EDUs, Attempt: a.Number,
	})
	answer, err := t.outbox.sender.Do(ctx, txn.Destination, transport.Call{
		Method:  http.MethodPut,
		Path:    transport.Path("_matrix", "federation", "v1", "send", txn.TxnID),
		Body:    txn.Body,
		Timeout: t.outbox.policy.AttemptTimeout,
	})
	a.Class, a.Status = "ok", answer.Status
	if err != nil {
		a.Class, a.Status, a.Message, retryAfter = describe(err)
	} else {
		reply = answer.Body
	}
	duration := time.Since(start)
	a.DurationUS = duration.Microseconds()
	t.outbox.trace.Emit(trace.TransactionAttempted{
		Destination: name, TxnID: txn.TxnID, Attempt: a.Number, Class: a.Class, Status: a.Status, Duration: duration,
	})
	return a, reply, retryAfter
}

// describe takes from a failed request what is kept with the attempt.
func describe(err error) (class string, status int, message string, retryAfter time.Duration) {
	message = err.Error()
	if len(message) > maxFailureMessage {
		message = message[:maxFailureMessage] + "…"
	}
	var failure *transport.Failure
	if !errors.As(err, &failure) {
		return "internal", 0, message, 0
	}
	return string(failure.Class), failure.Status, message, failure.RetryAfter
}

// record stores the outcome of an attempt and gives the destination as it now stands.
func (t turn) record(ctx context.Context, txn persistence.SentTransaction, a persistence.Attempt, reply []byte, retryAfter time.Duration) (persistence.Destination, error) {
	now := time.Now()
	d := t.stored
	d.Cursor = max(d.Cursor, t.from)
	if reply != nil {
		d.Cursor, d.Failures, d.RetryAt, d.LastSuccess = txn.Through, 0, 0, now.UnixMilli()
	} else {
		d.Failures++
		wait := t.outbox.policy.wait(d.Failures, retryAfter, t.random)
		d.RetryAt, d.LastFailure = now.Add(wait).UnixMilli(), now.UnixMilli()
	}
	err := t.outbox.store.Update(ctx, func(tx *persistence.Tx) error {
		if err := tx.RecordAttempt(txn.Position, a); err != nil {
			return err
		}
		if reply != nil {
			if err := tx.EndTransaction(txn.Position, now.UnixMilli(), reply); err != nil {
				return err
			}
		}
		return tx.SetDestination(d)
	})
	if err != nil {
		return t.stored, fmt.Errorf("record attempt for %s: %w", d.Server, err)
	}
	return d, nil
}
