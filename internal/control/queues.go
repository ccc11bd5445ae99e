// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// What can be asked and ordered about queues.
var (
	opQueues       = operation[inspect.Filter, []inspect.Queue]{"queue/ls"}
	opQueueShape   = operation[inspect.Filter, inspect.QueueShape]{"queue/shape"}
	opQueue        = operation[inspect.Filter, QueueDetail]{"queue/show"}
	opQueueHistory = operation[inspect.Filter, []inspect.Transaction]{"queue/history"}
	opHoldRules    = operation[inspect.Filter, []inspect.HoldRule]{"queue/rules"}
	opRetryQueues  = operation[RetryQueues, Done]{"queue/retry"}
	opHoldQueues   = operation[HoldQueues, Done]{"queue/hold"}
	opUnholdQueues = operation[HoldQueues, Done]{"queue/unhold"}
	opDropQueued   = operation[DropQueued, Done]{"queue/drop"}
)

// QueueDetail is what waits for a server, with what only the running server knows.
type QueueDetail struct {
	inspect.QueueDetail
	// Volatile is what a restart forgets: typing, presence, receipts. The filter does not apply to it.
	Volatile []VolatileEDUs `json:"volatile"`
}

// VolatileEDUs is how many EDUs of one type wait in memory.
type VolatileEDUs struct {
	Type   string `json:"type"`
	Items  int    `json:"items"`
	Oldest int64  `json:"oldest_ts"`
}

// RetryQueues has queues tried before their time, spread evenly over a time in ms. Parked also tries what is parked for them.
type RetryQueues struct {
	inspect.Filter
	Parked bool  `json:"parked,omitempty"`
	Spread int64 `json:"spread_ms,omitempty"`
	DryRun bool  `json:"dry_run,omitempty"`
}

// HoldQueues sets a rule, or takes it back.
type HoldQueues struct {
	Pattern string `json:"pattern"`
	Reason  string `json:"reason,omitempty"`
	DryRun  bool   `json:"dry_run,omitempty"`
}

// DropQueued takes out of the queues what a filter selects; Event and Kind ("pdu" or "edu") narrow that down.
type DropQueued struct {
	inspect.Filter
	Event  string `json:"event_id,omitempty"`
	Kind   string `json:"kind,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// Done is what an order about other servers came to, or with DryRun would.
type Done struct {
	DryRun    bool   `json:"dry_run"`
	Servers   int    `json:"servers"`
	Items     int    `json:"items,omitempty"`     // that waited for them
	Parked    int    `json:"parked,omitempty"`    // of them, those that were parked
	Withdrawn int    `json:"withdrawn,omitempty"` // transactions that are put together anew of what is left
	Advice    string `json:"advice,omitempty"`    // what else there is to do
}

func (h *handler) routeQueues(mux *http.ServeMux) {
	answer(mux, opQueues, h.look.Queues)
	answer(mux, opQueueShape, h.look.QueueShape)
	answer(mux, opQueue, h.queue)
	answer(mux, opQueueHistory, h.look.QueueHistory)
	answer(mux, opHoldRules, h.look.HoldRules)
	answer(mux, opRetryQueues, h.retryQueues)
	answer(mux, opHoldQueues, h.holdQueues)
	answer(mux, opUnholdQueues, h.unholdQueues)
	answer(mux, opDropQueued, h.dropQueued)
}

// Queues lists the queues in which something waits.
func (c *Client) Queues(ctx context.Context, q inspect.Filter) ([]inspect.Queue, error) {
	return ask(ctx, c, opQueues, q)
}

// QueueShape tells what waits by age and destination.
func (c *Client) QueueShape(ctx context.Context, q inspect.Filter) (inspect.QueueShape, error) {
	return ask(ctx, c, opQueueShape, q)
}

// Queue shows one queue.
func (c *Client) Queue(ctx context.Context, q inspect.Filter) (QueueDetail, error) {
	return ask(ctx, c, opQueue, q)
}

// QueueHistory lists what was sent.
func (c *Client) QueueHistory(ctx context.Context, q inspect.Filter) ([]inspect.Transaction, error) {
	return ask(ctx, c, opQueueHistory, q)
}

// HoldRules lists the rules that hold queues.
func (c *Client) HoldRules(ctx context.Context, q inspect.Filter) ([]inspect.HoldRule, error) {
	return ask(ctx, c, opHoldRules, q)
}

// RetryQueues has queues tried before their time.
func (c *Client) RetryQueues(ctx context.Context, order RetryQueues) (Done, error) {
	return ask(ctx, c, opRetryQueues, order)
}

// HoldQueues sets a rule.
func (c *Client) HoldQueues(ctx context.Context, order HoldQueues) (Done, error) {
	return ask(ctx, c, opHoldQueues, order)
}

// UnholdQueues takes a rule back.
func (c *Client) UnholdQueues(ctx context.Context, order HoldQueues) (Done, error) {
	return ask(ctx, c, opUnholdQueues, order)
}

// DropQueued takes something out of the queues for good.
func (c *Client) DropQueued(ctx context.Context, order DropQueued) (Done, error) {
	return ask(ctx, c, opDropQueued, order)
}

func (h *handler) queue(ctx context.Context, q inspect.Filter) (QueueDetail, error) {
	found, err := h.look.Queue(ctx, q)
	detail := QueueDetail{QueueDetail: found, Volatile: []VolatileEDUs{}}
	if err != nil || h.server == nil {
		return detail, err
	}
	waiting, err := h.server.Outbox().Volatile(ctx, ident.ServerName(q.Server))
	for _, w := range waiting {
		detail.Volatile = append(detail.Volatile, VolatileEDUs{w.Type, w.Items, w.Oldest.UnixMilli()})
	}
	return detail, err
}

// maxSpread bounds over how long retries are spread: the longest pause is a day.
const maxSpread = 24 * time.Hour

func (h *handler) retryQueues(ctx context.Context, order RetryQueues) (Done, error) {
	if h.server == nil {
		return Done{}, errNoServer
	}
	if order.Spread < 0 || order.Spread > maxSpread.Milliseconds() {
		return Done{}, usage(fmt.Errorf("spread of %d ms: from 0 to %s", order.Spread, maxSpread))
	}
	if order.State == "" && !order.Parked {
		order.State = inspect.QueueRetry
	}
	names, _, err := h.look.QueueNames(ctx, order.Filter)
	if err != nil || order.DryRun {
		return Done{DryRun: order.DryRun, Servers: len(names)}, err
	}
	n, err := h.server.Outbox().Retry(ctx, transaction.Retry{
		Servers: names, Parked: order.Parked, Spread: time.Duration(order.Spread) * time.Millisecond,
	})
	return Done{Servers: n}, err
}

func (h *handler) holdQueues(ctx context.Context, order HoldQueues) (Done, error) {
	pattern, n, err := h.caught(ctx, order.Pattern)
	if err != nil || order.DryRun {
		return Done{DryRun: order.DryRun, Servers: n}, err
	}
	return Done{Servers: n}, h.server.Outbox().Hold(ctx, pattern, order.Reason)
}

func (h *handler) unholdQueues(ctx context.Context, order HoldQueues) (Done, error) {
	pattern, n, err := h.caught(ctx, order.Pattern)
	if err != nil {
		return Done{}, err
	}
	found := false
	if order.DryRun {
		rules, err := h.look.HoldRules(ctx, inspect.Filter{Limit: inspect.MaxLimit})
		if err != nil {
			return Done{}, err
		}
		for _, rule := range rules {
			found = found || rule.Pattern == order.Pattern
		}
	} else if found, err = h.server.Outbox().Unhold(ctx, pattern); err != nil {
		return Done{}, err
	}
	if !found {
		return Done{}, &Error{Kind: NotFound, Message: fmt.Sprintf("no rule has the pattern %q; strata queue rules lists them", order.Pattern)}
	}
	return Done{DryRun: order.DryRun, Servers: n}, nil
}

// caught reads a pattern, and counts the destinations that match by now.
func (h *handler) caught(ctx context.Context, text string) (pattern transaction.Pattern, servers int, err error) {
	if h.server == nil {
		return "", 0, errNoServer
	}
	if pattern, err = transaction.ParsePattern(text); err != nil {
		return "", 0, usage(err)
	}
	servers, err = h.look.Destinations(ctx, pattern)
	return pattern, servers, err
}

func (h *handler) dropQueued(ctx context.Context, order DropQueued) (Done, error) {
	drop, err := h.dropOf(order)
	if err != nil {
		return Done{}, err
	}
	s, err := h.look.Stretch(ctx, order.Filter, drop.Kind, drop.Event)
	if err != nil {
		return Done{}, err
	}
	done := Done{DryRun: order.DryRun, Servers: len(s.Servers), Items: s.Items, Parked: s.Parked}
	if order.DryRun || len(s.Servers) == 0 {
		return done, nil
	}
	drop.Servers, drop.After, drop.Through = s.Servers, s.After, s.Through
	dropped, err := h.server.Outbox().Drop(ctx, drop)
	done.Parked, done.Withdrawn = dropped.Parked, dropped.Withdrawn
	return done, err
}

func (h *handler) dropOf(order DropQueued) (drop transaction.Drop, err error) {
	kinds := map[string]int{"": 0, "pdu": persistence.KindPDU, "edu": persistence.KindEDU}
	kind, known := kinds[order.Kind]
	switch {
	case h.server == nil:
		return drop, errNoServer
	case !known:
		return drop, usage(fmt.Errorf("kind %q is neither pdu nor edu", order.Kind))
	case order.Server == "":
		return drop, usage(errors.New("no destination given: name servers, or * for all"))
	}
	drop = transaction.Drop{Kind: kind, Room: ident.RoomID(order.RoomID)}
	if order.Event != "" {
		if drop.Event, err = ident.ParseEventID(order.Event); err != nil {
			return drop, usage(err)
		}
	}
	return drop, nil
}
