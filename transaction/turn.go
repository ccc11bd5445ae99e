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
	parkedAt    int64       // when something parked is to be tried again, ms; 0 when nothing is
	drops       bool        // operators may have dropped some of what is queued
	volatile    []*volatile // what else there is to send
	recalled    int64       // as in destination
	nothingOpen bool        // likewise
	random      float64
}

// began is the outcome of a turn in which nothing has happened yet.
func (t turn) began() outcome {
	return outcome{destination: t.destination, stored: t.stored, from: t.from, parkedAt: t.parkedAt, recalled: t.recalled}
}

func (t turn) run(ctx context.Context) outcome {
	result := t.began()
	next, err := t.freeze(ctx)
	result.volatile = next.volatile
	switch {
	case err != nil:
		return t.postpone(result, err)
	case !next.found:
		result.from, result.more, result.parkedAt, result.nothingOpen = next.from, next.more, next.parkedAt, true
		return result
	}
	answer := t.attempt(ctx, next.transaction)
	if needed := implicates(answer.attempt); needed > 1 && answer.attempt.Number >= needed {
		answer.alive = t.answersOthers(ctx)
	}
	if ctx.Err() != nil && !answer.delivered {
		return result // broken off by us: no fault of the destination
	}
	// An answer is kept even if we were told to stop while it came.
	after, err := t.record(context.WithoutCancel(ctx), next.transaction, answer)
	if err != nil {
		return t.postpone(result, err)
	}
	result.stored, result.parkedAt, result.from = after.Destination, after.parkedAt, max(t.from, after.Cursor)
	if answer.delivered {
		result.sent, result.more, result.catchingUp, result.nothingOpen = true, next.more, next.catchingUp, true
	} else {
		result.retryAt = time.UnixMilli(after.RetryAt)
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
	parkedAt    int64                // likewise: as in turn
	more        bool                 // the log was not looked through to its end: there may be more behind
	volatile    []*volatile          // these are dealt with
	catchingUp  bool                 // the transaction is of the present of rooms
}

// freeze gives the transaction to send: the one that is still unanswered, or else a new one of what is queued, made durable
// before anyone sees it.
func (t turn) freeze(ctx context.Context) (next frozen, err error) {
	err = t.outbox.convoy.run(ctx, func(tx *persistence.Tx, log *persistence.LogReader) (err error) {
		next, err = t.freezeIn(tx, log)
		return err
	})
	if err != nil {
		return frozen{}, fmt.Errorf("freeze transaction for %s: %w", t.stored.Server, err)
	}
	return next, nil
}

func (t turn) freezeIn(tx *persistence.Tx, log *persistence.LogReader) (frozen, error) {
	name, now := t.stored.Server, time.Now().UnixMilli()
	if !t.nothingOpen {
		open, found, err := tx.OpenTransaction(name)
		if err != nil || found {
			return frozen{transaction: open, found: found, more: true}, err
		}
	}
	if t.stored.Control { // one that is empty
		txn, err := tx.Freeze(compose(t.outbox.self, name, nil, t.from, now))
		return frozen{transaction: txn, found: true, more: true}, err
	}
	if t.stored.Suspects == 0 && t.parkedAt != 0 && t.parkedAt <= now {
		if item, due, err := tx.DueParked(name, now); err != nil || due {
			if err != nil {
				return frozen{}, err
			}
			txn := compose(t.outbox.self, name, []persistence.Outbound{item.Outbound}, t.from, now)
			txn.Items, txn.Parked = nil, item.Position
			txn, err = tx.Freeze(txn)
			return frozen{transaction: txn, found: true, more: true}, err
		}
	}
	return t.freezeNew(tx, log, now)
}

// freezeNew freezes what is queued.
func (t turn) freezeNew(tx *persistence.Tx, log *persistence.LogReader, now int64) (frozen, error) {
	b, err := t.newBatch(tx)
	if err != nil {
		return frozen{}, err
	}
	g := &gathering{tx: tx, to: t.stored.Server, from: t.from, rooms: t.outbox.rooms, batch: &b}
	if t.drops {
		if g.drops, err = tx.Drops(t.stored.Server, t.from); err != nil {
			return frozen{}, err
		}
	}
	through, atEnd, err := g.fill(log)
	if err == nil {
		err = g.passOver(t.stored, through)
	}
	if err != nil {
		return frozen{}, err
	}
	next := frozen{from: through, more: !atEnd, catchingUp: g.ahead}
	if b.limit == 0 { // what is of use only now is not what is looked for
		next.volatile = b.addVolatile(t.volatile, time.UnixMilli(now))
	}
	if next.found = len(b.items) > 0; !next.found {
		next.parkedAt, err = t.nextParked(tx)
		return next, err
	}
	if t.stored.Cursor == 0 { // there may never have been anything durable for it
		if err := tx.AddDestination(t.stored.Server, through); err != nil {
			return frozen{}, err
		}
	}
	next.transaction, err = tx.Freeze(compose(t.outbox.self, t.stored.Server, b.items, through, now))
	return next, err
}

// newBatch is an empty batch with the limits that follow from what the destination has refused.
func (t turn) newBatch(tx *persistence.Tx) (b batch, err error) {
	b.limit = batchLimit(t.stored)
	if t.parkedAt != 0 {
		b.suspects, err = tx.SuspectRooms(t.stored.Server)
	}
	return b, err
}

// nextParked is when something parked is to be tried again. Where nothing was parked, none is looked for.
func (t turn) nextParked(tx *persistence.Tx) (int64, error) {
	if t.parkedAt == 0 {
		return 0, nil
	}
	return tx.NextParkedOf(t.stored.Server)
}

// answer is what an attempt came to.
type answer struct {
	attempt   persistence.Attempt
	delivered bool    // it was answered with success
	reply     []byte  // to be kept; nil also when it was too long for that
	failure   failure // without its streak; of one that was not delivered
	alive     bool    // the destination answers other requests; looked at when this one has met with silence often
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
		result.failure = describe(err, &a)
	} else if len(got.Body) > MaxKeptReply {
		a.Message, result.reply = fmt.Sprintf("the reply of %d bytes was not kept", len(got.Body)), nil
	}
	duration := time.Since(start)
	a.DurationUS = duration.Microseconds()
	t.outbox.trace.Emit(trace.TransactionAttempted{
		Destination: name, TxnID: txn.TxnID, PDUs: txn.PDUs, EDUs: txn.EDUs, Attempt: a.Number, Class: a.Class, Status: a.Status,
		Duration: duration,
	})
	result.attempt = a
	return result
}

// answersOthers tells whether a destination that gives no good answer to a transaction answers at all. The question is the cheapest
// there is, and no transaction: T-02 allows one at a time.
func (t turn) answersOthers(ctx context.Context) bool {
	_, err := t.outbox.sender.Do(ctx, t.stored.Server, transport.Call{
		Method: http.MethodGet, Path: transport.Path("_matrix", "federation", "v1", "version"), Unsigned: true, Timeout: versionTimeout,
	})
	return err == nil
}

// describe puts into an attempt what is kept of a failed request, and gives what the next wait depends on.
func describe(err error, a *persistence.Attempt) failure {
	a.Class, a.Status, a.Message = "internal", 0, err.Error()
	if len(a.Message) > maxFailureMessage {
		a.Message = strings.ToValidUTF8(a.Message[:maxFailureMessage], "") + "…"
	}
	var failed *transport.Failure
	if !errors.As(err, &failed) {
		return failure{}
	}
	a.Class, a.Phase, a.Status = string(failed.Class), string(failed.Phase), failed.Status
	return failure{gone: failed.Gone(), asked: failed.RetryAfter}
}
