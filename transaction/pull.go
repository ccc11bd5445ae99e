// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"container/heap"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	// pullLease is how long a transaction that a destination has asked for is not sent to it meanwhile: it works on it, and then asks
	// for the next.
	pullLease = maxProcessing

	// recallPause is how long a server that seems to have lost what it took is not given the present of all its rooms again.
	recallPause = time.Hour

	// recallPortion is how many rooms one job queues for it, some milliseconds' work.
	recallPortion = 100
)

// pull is a destination's question for what it is to get, and acknowledgement of what it names. The dispatcher answers it with the
// transaction that would be sent next, frozen as ever, or nothing.
type pull struct {
	server ident.ServerName
	after  string // id of the latest transaction that it has, "" if it knows of none
	answer chan pullAnswer
}

type pullAnswer struct {
	transaction persistence.SentTransaction
	found       bool
	err         error
}

// Routes is the endpoint at which servers that were away ask for what they missed: GET pullPath?after=TXNID, answered with
// {"transaction_id", "transaction"}, or {} when there is nothing more, or it is being sent.
func (o *Outbox) Routes() []transport.Route {
	return []transport.Route{{Method: http.MethodGet, Pattern: pullPath, Handle: o.servePull}}
}

func (o *Outbox) servePull(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	p := pull{server: r.Origin, after: r.Query.Get("after"), answer: make(chan pullAnswer, 1)}
	if len(p.after) > MaxTxnID {
		return transport.Reply{}, &transport.Error{
			Status: http.StatusBadRequest, Code: spec.ErrorInvalidParam, Message: fmt.Sprintf("after is longer than %d bytes", MaxTxnID),
		}
	}
	// What has begun is ended, whether the other server waits for it or not: it has the same as anything that was sent and not answered.
	if err := o.order(ctx, func() { o.startPull(context.WithoutCancel(ctx), p) }); err != nil {
		return transport.Reply{}, err
	}
	select {
	case got := <-p.answer:
		if got.err != nil || !got.found {
			return transport.Reply{}, got.err
		}
		body := append(append([]byte(`{"transaction":`), got.transaction.Body...), `,"transaction_id":`...)
		return transport.Reply{Body: append(canonicaljson.AppendString(body, got.transaction.TxnID), '}')}, nil
	case <-ctx.Done():
		return transport.Reply{}, ctx.Err()
	}
}

// startPull gives a destination its turn by its own request. One that is being sent to, or is about to be, is told nothing: it
// will have what there is.
func (o *Outbox) startPull(ctx context.Context, p pull) {
	d, known := o.destinations[p.server]
	if !known || !d.atRest() && d.phase != waiting || o.holds(d.name()) {
		p.answer <- pullAnswer{}
		return
	}
	if d.phase != idle {
		heap.Remove(&o.waiting, int(d.place))
	}
	d.phase, d.heard = sending, false
	o.laneOf(d).taken++
	turn := o.turnOf(d)
	o.employ(func() outcome { return turn.serve(ctx, p) })
}

// serve is run for a destination that asks: what goes out goes as the answer.
func (t turn) serve(ctx context.Context, p pull) outcome {
	result := t.began()
	next, err := t.freeze(ctx)
	result.volatile = next.volatile
	if err == nil && next.found && p.after == next.transaction.TxnID {
		var after aftermath
		if after, err = t.acknowledge(ctx, next.transaction); err == nil {
			t.stored, t.from, t.parkedAt = after.Destination, max(t.from, after.Cursor), after.parkedAt
			result = t.began()
			result.sent = true
			next, err = t.freeze(ctx)
			result.volatile = next.volatile
		}
	} else if err == nil && p.after != "" {
		var lost bool
		if lost, err = t.recall(ctx, p.after); err == nil && lost {
			result.recalled = time.Now().UnixMilli()
			if !next.found {
				next, err = t.freeze(ctx)
			}
		}
	}
	p.answer <- pullAnswer{next.transaction, next.found, err}
	switch {
	case err != nil:
		return t.postpone(result, err)
	case next.found:
		result.retryAt = time.Now().Add(pullLease)
		result.stored.NotBefore = result.retryAt.UnixMilli()
	default:
		result.from, result.more, result.parkedAt = next.from, next.more, next.parkedAt
	}
	return result
}

// acknowledge records that a transaction was taken by way of a pull.
func (t turn) acknowledge(ctx context.Context, txn persistence.SentTransaction) (aftermath, error) {
	return t.record(ctx, txn, answer{delivered: true, attempt: persistence.Attempt{
		Number: txn.Attempts + 1, StartedAt: time.Now().UnixMilli(), Bytes: len(txn.Body), Class: persistence.ClassOK, Message: "pulled",
	}})
}

// recall queues the present of all rooms that a server shares with us, if it names as its latest a transaction that is not the
// latest that it took, or that is not known here: then it has lost the later ones, or we have lost what we knew.
func (t turn) recall(ctx context.Context, after string) (lost bool, err error) {
	name, now := t.stored.Server, time.Now().UnixMilli()
	if now-t.recalled < recallPause.Milliseconds() {
		return false, nil
	}
	lost = true
	err = t.outbox.store.View(ctx, func(tx *persistence.Tx) error {
		sent, err := tx.SentTransactionsByID(after)
		for _, txn := range sent {
			if txn.Destination == name && txn.Through >= t.stored.Cursor {
				lost = false
			}
		}
		return err
	})
	if err != nil || !lost {
		return false, err
	}
	var next int64
	err = inPortions(ctx, t.outbox.store, func(tx *persistence.Tx) (bool, error) {
		_, after, err := tx.Recall(name, next, recallPortion, now)
		if err == nil {
			next = after
		}
		return after != 0, err
	})
	return true, err
}
