// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Inbound is what a transaction brings to the layer above.
type Inbound struct {
	Origin ident.ServerName // authenticated
	TxnID  string
	PDUs   [][]byte // any JSON value, each in the form that canonicaljson.Foreign has; shared, not to be changed
}

// Staged is what the layer above makes of the PDUs of a transaction.
type Staged struct {
	// Results has an entry for each PDU whose id could be told: "" when it is taken in, else what is wrong with it (T-04).
	Results map[ident.EventID]string

	// Keep makes what was taken in durable in one job with what reply stores: a reply is a promise. reply may run twice, in jobs of
	// which the first has failed. nil when there is nothing to be kept.
	Keep func(ctx context.Context, reply func(*persistence.Tx) error) error
}

// PDUReceiver takes the PDUs of a transaction. Nothing that a PDU holds is an error here; an error means that the
// transaction could not be worked on and should be sent again. Nothing may come of a call before Keep is called: while PDUs are looked
// into, it is asked whether the transaction was answered before, and if so, ctx ends and what was staged is forgotten.
type PDUReceiver interface {
	ReceivePDUs(ctx context.Context, in Inbound) (Staged, error)
}

// InboxConfig is what an inbox needs. Without Rooms, no EDU about a room is let in. Heard, if not nil, is told who reached us.
type InboxConfig struct {
	Self  ident.ServerName
	Store *persistence.Store
	PDUs  PDUReceiver
	EDUs  EDUHandlers
	Rooms RoomAccess
	Heard func(ident.ServerName)
	Trace trace.Sink
}

// Inbox answers PUT /send: each transaction is worked on once, whatever the number of times it comes. Requests run on their
// own goroutines; running is guarded by mu.
type Inbox struct {
	cfg InboxConfig

	mu      sync.Mutex
	running map[receiptKey]*receipt
}

type receiptKey struct {
	origin ident.ServerName
	txnID  string
}

// receipt is a transaction that is being worked on. The fields below done are set before it is closed.
type receipt struct {
	done       chan struct{}
	reply      []byte
	err        error
	pdus, edus int
	duplicate  bool // answered from the store
}

// errNotFinished is the fate of a transaction until there is another: if the work on it ends in a panic, those who wait for it
// must not take that for an answer.
var errNotFinished = errors.New("the work on the transaction was broken off")

// NewInbox returns an inbox; its Routes go into a transport.Server.
func NewInbox(cfg InboxConfig) *Inbox {
	cfg.Trace = trace.OrDiscard(cfg.Trace)
	return &Inbox{cfg: cfg, running: map[receiptKey]*receipt{}}
}

// Routes is the one endpoint of this package (E-06).
func (i *Inbox) Routes() []transport.Route {
	return []transport.Route{{
		Method:  http.MethodPut,
		Pattern: "/_matrix/federation/v1/send/:txnID",
		MaxBody: MaxReceivedBytes,
		Foreign: true, // a PDU that cannot be parsed is refused alone (T-09)
		Handle:  i.send,
	}}
}

func (i *Inbox) send(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	start := time.Now()
	if i.cfg.Heard != nil {
		i.cfg.Heard(r.Origin)
	}
	key := receiptKey{r.Origin, r.Params["txnID"]}
	if len(key.txnID) > MaxTxnID {
		return transport.Reply{}, &transport.Error{
			Status: http.StatusBadRequest, Code: spec.ErrorInvalidParam,
			Message: fmt.Sprintf("transaction id of %d bytes, at most %d are accepted", len(key.txnID), MaxTxnID),
		}
	}
	reply, err := i.receive(ctx, key, r.JSON, start)
	return transport.Reply{Body: reply}, err
}

// take works on a transaction that we asked for.
func (i *Inbox) take(ctx context.Context, origin ident.ServerName, txnID string, body canonicaljson.Value) error {
	_, err := i.receive(ctx, receiptKey{origin, txnID}, body, time.Now())
	return err
}

// receive works on a transaction, or waits for whoever does.
func (i *Inbox) receive(ctx context.Context, key receiptKey, body canonicaljson.Value, start time.Time) (reply []byte, err error) {
	working, first := i.begin(key)
	if first {
		// The sender may hang up; those who wait for the same transaction have not.
		workCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), maxProcessing)
		i.work(workCtx, key, working, body, start)
		cancel()
	} else {
		select {
		case <-working.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	i.cfg.Trace.Emit(trace.TransactionReceived{
		Origin: string(key.origin), TxnID: key.txnID, PDUs: working.pdus, EDUs: working.edus,
		Duplicate: !first || working.duplicate, Status: statusOf(working.err), Duration: time.Since(start),
	})
	return working.reply, working.err
}

// statusOf is the HTTP status that an error of this package is answered with.
func statusOf(err error) int {
	var refusal *transport.Error
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &refusal):
		return refusal.Status
	}
	return http.StatusInternalServerError
}

// begin gives the receipt of a transaction, and whether the caller is the first and has to work on it.
func (i *Inbox) begin(key receiptKey) (working *receipt, first bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if working, running := i.running[key]; running {
		return working, false
	}
	working = &receipt{done: make(chan struct{}), err: errNotFinished}
	i.running[key] = working
	return working, true
}

// work begins with what a transaction brings before it is known whether it was answered before: mostly it was not, and the store takes
// its time to say so.
func (i *Inbox) work(ctx context.Context, key receiptKey, working *receipt, body canonicaljson.Value, start time.Time) {
	defer func() {
		i.mu.Lock()
		delete(i.running, key)
		i.mu.Unlock()
		close(working.done)
	}()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	earlier := make(chan answered, 1)
	go func() {
		a := i.answeredBefore(ctx, key)
		if a.found {
			stop() // what is being worked on
		}
		earlier <- a
	}()
	txn, staged, err := i.read(ctx, key, body)
	if a := <-earlier; a.err != nil || a.found {
		working.reply, working.err, working.duplicate = a.kept.Reply, a.err, a.found
		working.pdus, working.edus = a.kept.PDUs, a.kept.EDUs
		return
	}
	working.pdus, working.edus = len(txn.pdus), len(txn.edus)
	if working.err = err; err == nil {
		working.reply, working.err = i.keep(ctx, key, txn, staged, start)
	}
}

// answered is what the store knows of a transaction that has come.
type answered struct {
	kept  persistence.ReceivedTransaction
	found bool
	err   error
}

func (i *Inbox) answeredBefore(ctx context.Context, key receiptKey) (a answered) {
	a.err = i.cfg.Store.View(ctx, func(tx *persistence.Tx) (err error) {
		a.kept, a.found, err = tx.KeptReply(key.origin, key.txnID)
		return err
	})
	return a
}

// read takes a transaction apart and hands the PDUs up.
func (i *Inbox) read(ctx context.Context, key receiptKey, body canonicaljson.Value) (txn inboundTransaction, staged Staged, err error) {
	if txn, err = parseTransaction(key.origin, body); err != nil {
		return txn, staged, err
	}
	staged, err = i.cfg.PDUs.ReceivePDUs(ctx, Inbound{Origin: key.origin, TxnID: key.txnID, PDUs: txn.pdus})
	if err != nil {
		err = fmt.Errorf("receive PDUs of transaction %s from %s: %w", key.txnID, key.origin, err)
	}
	return txn, staged, err
}

// keep makes what came of a transaction and the reply durable in one job.
func (i *Inbox) keep(ctx context.Context, key receiptKey, txn inboundTransaction, staged Staged, start time.Time) ([]byte, error) {
	edus := i.admitted(ctx, key.origin, txn.edus)
	reply, failed, err := composeReply(staged.Results)
	if err != nil {
		return nil, err
	}
	store := staged.Keep
	if store == nil {
		store = i.cfg.Store.Update
	}
	err = store(ctx, func(tx *persistence.Tx) error {
		if err := i.cfg.EDUs.keep(tx, edus); err != nil {
			return fmt.Errorf("keep EDUs: %w", err)
		}
		_, err := tx.KeepReply(persistence.ReceivedTransaction{
			Origin: key.origin, TxnID: key.txnID, PDUs: len(txn.pdus), EDUs: len(txn.edus),
			ReceivedAt: start.UnixMilli(), DurationUS: time.Since(start).Microseconds(), Failed: failed, Reply: reply,
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("keep transaction %s from %s: %w", key.txnID, key.origin, err)
	}
	i.cfg.EDUs.observe(edus)
	return reply, nil
}

// composeReply builds {"pdus": {id: {}, id: {"error": why}}} (T-04).
func composeReply(results map[ident.EventID]string) (reply []byte, failed int, err error) {
	type result struct {
		Error string `json:"error,omitempty"`
	}
	pdus := make(map[ident.EventID]result, len(results))
	for id, why := range results {
		pdus[id] = result{Error: why[:min(len(why), maxPDUError)]}
		if why != "" {
			failed++
		}
	}
	reply, err = json.Marshal(map[string]any{"pdus": pdus})
	return reply, failed, err
}
