// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	// pullPath is where a server that was away asks for what it missed: our own, under the prefix that the specification leaves to
	// implementations. Others answer it as unknown.
	pullPath = "/_matrix/federation/unstable/io.github.strata-matrix.since/pull"

	// awayAfter is how long a server must have been without contact to ask at its start what it missed. Who stands in the queues of
	// others for less is tried again by them soon.
	awayAfter = 5 * time.Minute

	// stockTime is how long a server that does not know the endpoint is not asked again.
	stockTime = 7 * 24 * time.Hour

	// pullers and pullPause spread the questions of a start: so many at a time, and a pause before each.
	pullers   = 4
	pullPause = 500 * time.Millisecond

	// maxPulls bounds what one server can give us in one go. The rest comes by its own sending.
	maxPulls = 1000

	// maxPulled bounds an answer: a transaction of the largest size, and what is around it.
	maxPulled = MaxReceivedBytes + 64<<10
)

// PullerConfig is what a puller needs; Trace may be left out.
type PullerConfig struct {
	Self   ident.ServerName
	Store  *persistence.Store
	Sender Sender
	Inbox  *Inbox
	Trace  trace.Sink
}

// Puller asks, after a start, the servers that it shares rooms with for what they have for us. What they give is what they would
// send, under the id under which they would: the inbox works on it once, whichever way it comes.
type Puller struct {
	cfg PullerConfig
}

// NewPuller returns a puller that asks when Run runs.
func NewPuller(cfg PullerConfig) *Puller {
	cfg.Trace = trace.OrDiscard(cfg.Trace)
	return &Puller{cfg: cfg}
}

// Run asks each server once, if we were away, and returns when all were asked or ctx ends. A server that does not answer is not
// asked again: it knows of us, or will when it hears from us. The error is that the store has ended.
func (p *Puller) Run(ctx context.Context) error {
	servers, err := p.servers(ctx, time.Now())
	if err != nil {
		return endOf(ctx, fmt.Errorf("servers to pull from: %w", err))
	}
	line := make(chan ident.ServerName)
	var workers sync.WaitGroup
	for range min(pullers, len(servers)) {
		workers.Go(func() {
			for server := range line {
				p.pullFrom(ctx, server)
			}
		})
	}
	for _, server := range servers {
		if !sleep(ctx, pullPause) || !hand(ctx, line, server) {
			break
		}
	}
	close(line)
	workers.Wait()
	return nil
}

func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func hand(ctx context.Context, line chan<- ident.ServerName, server ident.ServerName) bool {
	select {
	case line <- server:
		return true
	case <-ctx.Done():
		return false
	}
}

// servers is whom to ask: nobody, unless we were away. They stand in an order of our own: others who come back with us do not begin
// with the same ones.
func (p *Puller) servers(ctx context.Context, now time.Time) (list []ident.ServerName, err error) {
	err = p.cfg.Store.View(ctx, func(tx *persistence.Tx) error {
		last, err := tx.LastContact()
		if err != nil || now.Sub(time.UnixMilli(last)) < awayAfter {
			return err
		}
		all, err := tx.PullableServers(now.UnixMilli())
		for _, server := range all {
			if server != p.cfg.Self {
				list = append(list, server)
			}
		}
		return err
	})
	slices.SortFunc(list, func(a, b ident.ServerName) int { return cmp.Compare(p.rank(a), p.rank(b)) })
	return list, err
}

func (p *Puller) rank(server ident.ServerName) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(p.cfg.Self)) // it never fails
	_, _ = h.Write([]byte(server))
	return h.Sum64()
}

// pullFrom takes what a server has for us, one transaction after the other. Each question names the transaction before, which is
// thereby known to be here.
func (p *Puller) pullFrom(ctx context.Context, server ident.ServerName) {
	var after string
	err := p.cfg.Store.View(ctx, func(tx *persistence.Tx) (err error) {
		after, err = tx.LatestReceived(server)
		return err
	})
	taken := 0
	for err == nil && taken < maxPulls {
		var got pulled
		if got, err = p.ask(ctx, server, after); err != nil || got.txnID == "" || got.txnID == after {
			break
		}
		if err = p.cfg.Inbox.take(ctx, server, got.txnID, got.transaction); err == nil {
			after = got.txnID
			taken++
		}
	}
	stock := isUnrecognized(err)
	if stock {
		err = p.cfg.Store.Update(ctx, func(tx *persistence.Tx) error {
			return tx.SetStock(server, time.Now().Add(stockTime).UnixMilli())
		})
	}
	if ctx.Err() != nil {
		return
	}
	report := trace.TransactionPulled{From: string(server), Transactions: taken, Stock: stock}
	if err != nil {
		report.Error = err.Error()
	}
	p.cfg.Trace.Emit(report)
}

// pulled is an answer: a transaction, or none.
type pulled struct {
	txnID       string
	transaction canonicaljson.Value
}

func (p *Puller) ask(ctx context.Context, server ident.ServerName, after string) (pulled, error) {
	call := transport.Call{Method: http.MethodGet, Path: pullPath, MaxReply: maxPulled}
	if after != "" {
		call.Query = url.Values{"after": {after}}
	}
	answer, err := p.cfg.Sender.Do(ctx, server, call)
	if err != nil {
		return pulled{}, err
	}
	got, err := parsePulled(answer.Body)
	if err != nil {
		return pulled{}, fmt.Errorf("answer of %s to a pull: %w", server, err)
	}
	return got, nil
}

// parsePulled reads an answer.
func parsePulled(body []byte) (pulled, error) {
	answer, err := canonicaljson.Parse(body, canonicaljson.Foreign)
	if err != nil {
		return pulled{}, err
	}
	if !answer.Has("transaction_id") {
		return pulled{}, nil
	}
	id, ok := answer.Get("transaction_id").Text()
	if !ok || id == "" || len(id) > MaxTxnID || answer.Get("transaction").Kind() != canonicaljson.Object {
		return pulled{}, errors.New("not a transaction with its id")
	}
	return pulled{id, answer.Get("transaction")}, nil
}

// isUnrecognized tells whether a server does not know the endpoint. Some say so with the status alone.
func isUnrecognized(err error) bool {
	var failure *transport.Failure
	return errors.As(err, &failure) && (failure.Code == spec.ErrorUnrecognized ||
		failure.Code == "" && (failure.Status == http.StatusNotFound || failure.Status == http.StatusMethodNotAllowed))
}
