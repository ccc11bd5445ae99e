// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
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
	volatile    []*volatile // what else there is to send
	random      float64
}

func (t turn) run(ctx context.Context) outcome {
	result := outcome{destination: t.destination, stored: t.stored, from: t.from}
	next, err := t.freeze(ctx)
	result.volatile = next.volatile
	switch {
	case err != nil:
		return t.postpone(result, err)
	case !next.found:
		result.from, result.more = next.from, next.more
		return result
	}
	answer := t.attempt(ctx, next.transaction)
	if ctx.Err() != nil && !answer.delivered {
		return result // broken off by us: no fault of the destination
	}
	// An answer is kept even if we were told to stop while it came.
	result.stored, err = t.record(context.WithoutCancel(ctx), next.transaction, answer)
	switch {
	case err != nil:
		return t.postpone(result, err)
	case answer.delivered:
		result.sent, result.more, result.from = true, next.more, next.transaction.Through
		result.catchingUp = next.catchingUp
	default:
		result.retryAt = time.UnixMilli(result.stored.RetryAt)
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
	more        bool                 // the log was not looked through to its end: there may be more behind
	volatile    []*volatile          // these are dealt with
	catchingUp  bool                 // the transaction holds the present of rooms
}

// freeze gives the transaction to send: the one that is still unanswered, or else a new one of what is queued, made durable
// before anyone sees it.
func (t turn) freeze(ctx context.Context) (next frozen, err error) {
	err = t.outbox.store.Update(ctx, func(tx *persistence.Tx) (err error) {
		next, err = t.freezeIn(tx)
		return err
	})
	if err != nil {
		return frozen{}, fmt.Errorf("freeze transaction for %s: %w", t.stored.Server, err)
	}
	return next, nil
}

func (t turn) freezeIn(tx *persistence.Tx) (frozen, error) {
	name := t.stored.Server
	open, found, err := tx.OpenTransaction(name)
	if err != nil || found {
		return frozen{transaction: open, found: found, more: true}, err
	}
	var b batch
	g, err := t.outbox.gather(tx, name, t.from, &b)
	if err != nil {
		return frozen{}, err
	}
	through, atEnd, err := tx.NextOutbound(name, t.from, maxScan, g.take)
	if err == nil {
		err = g.finish(t.stored, through)
	}
	if err != nil {
		return frozen{}, err
	}
	now := time.Now()
	next := frozen{from: through, more: !atEnd, catchingUp: len(g.given) > 0, volatile: b.addVolatile(t.volatile, now)}
	if next.found = len(b.items) > 0; !next.found {
		return next, nil
	}
	if t.stored.Cursor == 0 { // there may never have been anything durable for it
		if err := tx.AddDestination(name, through); err != nil {
			return frozen{}, err
		}
	}
	next.transaction, err = tx.Freeze(compose(t.outbox.self, name, b.items, through, now.UnixMilli()))
	return next, err
}

// answer is what an attempt came to.
type answer struct {
	attempt    persistence.Attempt
	delivered  bool          // it was answered with success
	reply      []byte        // to be kept; nil also when it was too long for that
	retryAfter time.Duration // what the peer asked for, 0 if it did not
}

// attempt sends the transaction once.
func (t turn) attempt(ctx context.Context, txn persistence.SentTransaction) answer {
	start := time.Now()
	a := persistence.Attempt{Number: txn.Attempts + 1, StartedAt: start.UnixMilli(), Bytes: len(txn.Body)}
	name := string(txn.Destination)
	t.outbox.trace.Emit(trace.TransactionSending{
		Destination: name, TxnID: txn.TxnID, PDUs: txn.PDUs, EDUs: txn.EDUs, Attempt: a.Number,
	})
	got, err := t.outbox.sender.Do(ctx, txn.Destination, transport.Call{
		Method:  http.MethodPut,
		Path:    transport.Path("_matrix", "federation", "v1", "send", txn.TxnID),
		Body:    txn.Body,
		Timeout: t.outbox.policy.AttemptTimeout,
	})
	result := answer{delivered: err == nil, reply: got.Body}
	a.Class, a.Status = persistence.ClassOK, got.Status
	if err != nil {
		result.retryAfter = describe(err, &a)
	} else if len(got.Body) > MaxKeptReply {
		a.Message, result.reply = fmt.Sprintf("the reply of %d bytes was not kept", len(got.Body)), nil
	}
	duration := time.Since(start)
	a.DurationUS = duration.Microseconds()
	t.outbox.trace.Emit(trace.TransactionAttempted{
		Destination: name, TxnID: txn.TxnID, Attempt: a.Number, Class: a.Class, Status: a.Status, Duration: duration,
	})
	result.attempt = a
	return result
}

// describe puts into an attempt what is kept of a failed request, and gives the wait that the peer asked for.
func describe(err error, a *persistence.Attempt) (retryAfter time.Duration) {
	a.Class, a.Status, a.Message = "internal", 0, err.Error()
	if len(a.Message) > maxFailureMessage {
		a.Message = strings.ToValidUTF8(a.Message[:maxFailureMessage], "") + "…"
	}
	var failure *transport.Failure
	if !errors.As(err, &failure) {
		return 0
	}
	a.Class, a.Phase, a.Status = string(failure.Class), string(failure.Phase), failure.Status
	return failure.RetryAfter
}

// record stores the outcome of an attempt and gives the destination as it now stands.
func (t turn) record(ctx context.Context, txn persistence.SentTransaction, answer answer) (persistence.Destination, error) {
	now := time.Now()
	d := t.after(txn, answer, now)
	err := t.outbox.store.Update(ctx, func(tx *persistence.Tx) error {
		var err error
		if answer.delivered {
			err = tx.RecordSuccess(txn, answer.attempt, now.UnixMilli(), answer.reply)
		} else {
			err = tx.RecordFailure(txn, answer.attempt)
		}
		if err != nil {
			return err
		}
		return tx.SetDestination(d)
	})
	if err != nil {
		return t.stored, fmt.Errorf("record attempt for %s: %w", d.Server, err)
	}
	return d, nil
}

// after is the destination after an attempt.
func (t turn) after(txn persistence.SentTransaction, answer answer, now time.Time) persistence.Destination {
	d := t.stored
	d.NotBefore = 0
	if answer.delivered {
		d.Cursor, d.Failures, d.RetryAt, d.LastSuccess = txn.Through, 0, 0, now.UnixMilli()
		return d
	}
	policy := t.outbox.policy
	d.Cursor = max(d.Cursor, t.from)
	d.Failures++
	d.RetryAt = now.Add(policy.wait(d.Failures, answer.retryAfter, t.random)).UnixMilli()
	d.LastFailure = now.UnixMilli()
	if answer.retryAfter > 0 {
		d.NotBefore = now.Add(min(answer.retryAfter, policy.Max)).UnixMilli()
	}
	return d
}
