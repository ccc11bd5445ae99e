// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// What can be asked about transactions.
var (
	opTransactions      = operation[inspect.TransactionQuery, []inspect.Transaction]{"txn/ls"}
	opTransaction       = operation[inspect.TransactionRef, inspect.TransactionDetail]{"txn/show"}
	opExportTransaction = operation[inspect.TransactionRef, inspect.TransactionFile]{"txn/export"}
	opVerifyTransaction = operation[inspect.TransactionRef, inspect.Verification]{"txn/verify"}
	opReplayTransaction = operation[inspect.TransactionRef, Replayed]{"txn/replay"}
	opFollow            = operation[Follow, Followed]{"txn/tail"}
)

// Replayed is how the events of a transaction would be judged now.
type Replayed struct {
	TxnID     string          `json:"txn_id"`
	Peer      string          `json:"peer"`
	Differing int             `json:"differing"`
	Events    []ReplayedEvent `json:"events"`
}

// ReplayedEvent is one event of it.
type ReplayedEvent struct {
	EventID string          `json:"event_id"`
	Then    string          `json:"then"`          // the recorded outcome
	Now     string          `json:"now,omitempty"` // "" when it cannot be judged
	Differs bool            `json:"differs"`
	Checks  []inspect.Check `json:"checks"` // of the trial
	Note    string          `json:"note,omitempty"`
}

// Follow asks for what happens to transactions, after a number; a negative one begins now. It waits up to Wait ms for something.
type Follow struct {
	After     int64  `json:"after"`
	Wait      int64  `json:"wait_ms,omitempty"`
	Peer      string `json:"peer,omitempty"` // a pattern
	Direction string `json:"dir,omitempty"`
	Rejected  bool   `json:"rejected,omitempty"` // only what was refused, by them or by us
}

// Followed is what happened, and the number to go on after.
type Followed struct {
	Events []Happened `json:"events"`
	Next   int64      `json:"next"`
	Missed bool       `json:"missed,omitempty"` // there was more than is kept
}

func (h *handler) routeTransactions(mux *http.ServeMux) {
	answer(mux, opTransactions, h.look.Transactions)
	answer(mux, opTransaction, h.look.Transaction)
	answer(mux, opExportTransaction, h.exportTransaction)
	answer(mux, opVerifyTransaction, func(ctx context.Context, ref inspect.TransactionRef) (inspect.Verification, error) {
		file, err := h.exportTransaction(ctx, ref)
		if err != nil {
			return inspect.Verification{}, err
		}
		return file.Verify(ctx), nil
	})
	answer(mux, opReplayTransaction, h.replayTransaction)
	answer(mux, opFollow, h.follow)
}

// Transactions lists transactions.
func (c *Client) Transactions(ctx context.Context, q inspect.TransactionQuery) ([]inspect.Transaction, error) {
	return ask(ctx, c, opTransactions, q)
}

// Transaction shows one transaction.
func (c *Client) Transaction(ctx context.Context, ref inspect.TransactionRef) (inspect.TransactionDetail, error) {
	return ask(ctx, c, opTransaction, ref)
}

// ExportTransaction gives a transaction with all that is needed to look at it elsewhere.
func (c *Client) ExportTransaction(ctx context.Context, ref inspect.TransactionRef) (inspect.TransactionFile, error) {
	return ask(ctx, c, opExportTransaction, ref)
}

// VerifyTransaction checks ids, hashes and signatures of a transaction.
func (c *Client) VerifyTransaction(ctx context.Context, ref inspect.TransactionRef) (inspect.Verification, error) {
	return ask(ctx, c, opVerifyTransaction, ref)
}

// ReplayTransaction judges the events of a transaction on trial.
func (c *Client) ReplayTransaction(ctx context.Context, ref inspect.TransactionRef) (Replayed, error) {
	return ask(ctx, c, opReplayTransaction, ref)
}

// Follow waits for what happens to transactions.
func (c *Client) Follow(ctx context.Context, q Follow) (Followed, error) {
	return ask(ctx, c, opFollow, q)
}

func (h *handler) exportTransaction(ctx context.Context, ref inspect.TransactionRef) (inspect.TransactionFile, error) {
	file, err := h.look.TransactionFile(ctx, ref)
	if err != nil || h.server == nil {
		return file, err
	}
	now := time.Now() // our own keys are in no document of the store
	file.Keys = append(file.Keys, inspect.FileKeys{Server: file.Server, Fetched: now.UnixMilli(), Document: h.server.OwnKeys().Published(now)})
	return file, nil
}

func (h *handler) replayTransaction(ctx context.Context, ref inspect.TransactionRef) (Replayed, error) {
	if h.server == nil {
		return Replayed{}, errNoServer
	}
	file, err := h.look.TransactionFile(ctx, ref)
	if err != nil {
		return Replayed{}, err
	}
	if file.Transaction.Direction != inspect.In {
		return Replayed{}, usage(errors.New("only what came from others was judged here: this transaction is our own"))
	}
	r := Replayed{TxnID: file.Transaction.ID, Peer: file.Transaction.Peer, Events: []ReplayedEvent{}}
	for _, e := range file.Events {
		judged := ReplayedEvent{EventID: e.EventID, Then: e.Outcome, Checks: []inspect.Check{}}
		switch v, err := h.server.Engine().Rejudge(ctx, ident.EventID(e.EventID)); {
		case errors.Is(err, pdu.ErrUnknownEvent):
			judged.Note = "it is not kept, so that it cannot be judged again"
		case err != nil:
			return Replayed{}, err
		default:
			judged.Now, judged.Checks = v.Outcome.String(), inspect.ChecksOf(v.Checks)
			judged.Differs = judged.Now != judged.Then
		}
		if judged.Differs {
			r.Differing++
		}
		r.Events = append(r.Events, judged)
	}
	return r, nil
}

func (h *handler) follow(ctx context.Context, q Follow) (Followed, error) {
	pattern := transaction.Pattern("*")
	var err error
	switch {
	case h.server == nil || h.watch == nil:
		return Followed{}, errNoServer
	case q.Wait < 0 || q.Wait > maxWait.Milliseconds():
		return Followed{}, usage(fmt.Errorf("wait of %d ms: at most %s", q.Wait, maxWait))
	case q.Direction != "" && q.Direction != inspect.In && q.Direction != inspect.Out:
		return Followed{}, usage(fmt.Errorf("direction %q is neither %s nor %s", q.Direction, inspect.In, inspect.Out))
	case q.Peer != "":
		if pattern, err = transaction.ParsePattern(q.Peer); err != nil {
			return Followed{}, usage(err)
		}
	}
	if q.After < 0 {
		q.After = h.watch.latest()
	}
	f := Followed{Events: []Happened{}, Next: q.After}
	over := time.NewTimer(time.Duration(q.Wait) * time.Millisecond)
	defer over.Stop()
	for {
		list, missed, news := h.watch.since(f.Next)
		f.Missed = f.Missed || missed
		for _, e := range list {
			f.Next = e.Number
			if e, err = h.complete(ctx, e); err != nil {
				return Followed{}, err
			}
			if pattern.Matches(ident.ServerName(e.Peer)) && (q.Direction == "" || e.Direction == q.Direction) && (!q.Rejected || e.Rejected()) {
				f.Events = append(f.Events, e)
			}
		}
		if len(f.Events) > 0 {
			return f, nil
		}
		select {
		case <-news:
		case <-over.C:
			return f, nil
		case <-ctx.Done():
			return f, ctx.Err()
		}
	}
}

// complete adds what the trace does not have: of an event that was not accepted in which transaction it came, of a transaction of theirs
// how many PDUs were refused at once.
func (h *handler) complete(ctx context.Context, e Happened) (Happened, error) {
	if e.Direction == inspect.Out {
		return e, nil
	}
	err := h.server.Store().View(ctx, func(tx *persistence.Tx) error {
		if e.EventID == "" {
			kept, _, err := tx.KeptReply(ident.ServerName(e.Peer), e.TxnID)
			e.Failed = kept.Failed
			return err
		}
		v, _, err := tx.Verdict(ident.EventID(e.EventID))
		e.Peer, e.TxnID = string(v.Origin), v.Txn
		return err
	})
	return e, err
}
