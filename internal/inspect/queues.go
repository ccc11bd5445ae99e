// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// The states of a queue.
const (
	QueueHeld    = "held"    // by a rule
	QueueRetry   = "retry"   // the last attempt failed; it waits for the next
	QueueSending = "sending" // on its way, or about to be
	QueueParked  = "parked"  // nothing waits but what the destination refused
	QueueIdle    = "idle"    // nothing waits
)

var queueStates = []string{QueueHeld, QueueRetry, QueueSending, QueueParked, QueueIdle}

// AgeBounds are the limits of ages in a queue's shape, in minutes: an age belongs to the first that it is below, and what is as old as
// the last, or older, has a place of its own. They are those of Postfix's qshape.
var AgeBounds = []int64{1, 5, 10, 20, 40, 80, 160, 320, 640}

// Queue is what waits for one destination.
type Queue struct {
	Destination string    `json:"destination"`
	State       string    `json:"state"`
	Items       int       `json:"items"` // those that the question selects, as the next five
	PDUs        int       `json:"pdus"`
	EDUs        int       `json:"edus"`
	Rooms       int       `json:"rooms"`
	Oldest      int64     `json:"oldest_ts,omitempty"`
	Ages        []int     `json:"ages"` // items by age, see AgeBounds
	Parked      int       `json:"parked"`
	Failures    int       `json:"failures"`                // in a row
	NextTry     int64     `json:"next_try_ts,omitempty"`   // of the queue, or of what is parked
	NotBefore   int64     `json:"not_before_ts,omitempty"` // it asked for that itself (Retry-After)
	LastSuccess int64     `json:"last_success_ts,omitempty"`
	LastFailure int64     `json:"last_failure_ts,omitempty"`
	Class       string    `json:"class,omitempty"`  // of the last failure, while they last
	Error       string    `json:"error,omitempty"`  // what the destination or the network said
	TxnID       string    `json:"txn_id,omitempty"` // frozen and not answered
	Attempts    int       `json:"attempts"`         // to deliver that
	Hold        *HoldRule `json:"hold,omitempty"`
}

// HoldRule keeps servers that match from being sent to, those included that are not known yet.
type HoldRule struct {
	Pattern string `json:"pattern"`
	Reason  string `json:"reason,omitempty"`
	Since   int64  `json:"since_ts"`
	Matches int    `json:"matches"` // destinations, where that was asked for
}

// QueueShape is what waits by age and destination.
type QueueShape struct {
	Bounds []int64 `json:"bounds_min"` // AgeBounds
	Items  int     `json:"items"`
	Ages   []int   `json:"ages"` // of all that the question selects
	Queues []Queue `json:"queues"`
	More   int     `json:"more"` // queues beyond the limit, which are in the sums
}

// Queues lists the queues in which something waits, the longest first.
func (i *Inspector) Queues(ctx context.Context, f Filter) ([]Queue, error) {
	all, err := i.queues(ctx, f)
	return all[:min(len(all), clampLimit(f.Limit))], err
}

// QueueShape gives what waits by age and destination.
func (i *Inspector) QueueShape(ctx context.Context, f Filter) (QueueShape, error) {
	all, err := i.queues(ctx, f)
	if err != nil {
		return QueueShape{}, err
	}
	shape := QueueShape{Bounds: AgeBounds, Ages: make([]int, len(AgeBounds)+1)}
	for _, q := range all {
		shape.Items += q.Items
		for n, items := range q.Ages {
			shape.Ages[n] += items
		}
	}
	shape.Queues = all[:min(len(all), clampLimit(f.Limit))]
	shape.More = len(all) - len(shape.Queues)
	return shape, nil
}

// QueueNames gives the servers whose queues a filter selects, whatever its limit, and how much waits for them.
func (i *Inspector) QueueNames(ctx context.Context, f Filter) (names transaction.Names, items int, err error) {
	all, err := i.queues(ctx, f)
	names = transaction.Names{}
	for _, q := range all {
		names[ident.ServerName(q.Destination)] = true
		items += q.Items
	}
	return names, items, err
}

func (i *Inspector) queues(ctx context.Context, f Filter) ([]Queue, error) {
	pattern, err := f.check(queueStates)
	if err != nil {
		return nil, err
	}
	b, err := i.backlog(ctx, pattern)
	if err != nil {
		return nil, fmt.Errorf("list queues: %w", err)
	}
	list := []Queue{}
	for _, d := range b.destinations {
		q := b.queue(d, f)
		wanted := q.Items > 0 || !f.ofItems() && (q.Parked > 0 || q.TxnID != "")
		if f.State == QueueIdle {
			wanted = q.State == QueueIdle
		}
		if wanted && (f.State == "" || q.State == f.State) && (f.Class == "" || q.Class == f.Class) {
			list = append(list, q)
		}
	}
	slices.SortFunc(list, func(a, b Queue) int {
		return cmp.Or(cmp.Compare(b.Items, a.Items), cmp.Compare(a.Destination, b.Destination))
	})
	return list, nil
}

// queue puts together what waits for a destination, as far as a filter selects it.
func (b *backlog) queue(d persistence.NumberedDestination, f Filter) Queue {
	q := Queue{
		Destination: string(d.Server), Ages: make([]int, len(AgeBounds)+1), Parked: b.parked[d.Server], Failures: d.Failures,
		LastSuccess: d.LastSuccess, LastFailure: d.LastFailure, Hold: b.hold(d.Server),
	}
	rooms, behind := map[ident.RoomID]bool{}, false
	b.waiting(d, func(item persistence.LoggedItem) {
		if behind = true; !f.selects(item.Outbound) {
			return
		}
		q.Items++
		if item.Kind == persistence.KindPDU {
			q.PDUs++
			rooms[item.RoomID] = true
		} else {
			q.EDUs++
		}
		q.Ages[ageOf(b.now-item.QueuedAt)]++
		if q.Oldest == 0 || item.QueuedAt < q.Oldest {
			q.Oldest = item.QueuedAt
		}
	})
	q.Rooms = len(rooms)
	if open, found := b.open[d.Server]; found {
		q.TxnID, q.Attempts, behind = open.TxnID, open.Attempts, true
		if d.Failures > 0 {
			q.Error = open.Last.Message
		}
	}
	if d.Failures > 0 {
		q.Class = d.LastClass
	}
	q.State = b.stateOf(d, q, behind)
	switch q.State {
	case QueueRetry:
		q.NextTry, q.NotBefore = d.RetryAt, d.NotBefore
	case QueueParked:
		q.NextTry = b.nextParked[d.Server]
	}
	return q
}

func (b *backlog) stateOf(d persistence.NumberedDestination, q Queue, behind bool) string {
	switch {
	case q.Hold != nil && (behind || q.Parked > 0):
		return QueueHeld
	case behind && d.Failures > 0:
		return QueueRetry
	case behind:
		return QueueSending
	case q.Parked > 0:
		return QueueParked
	}
	return QueueIdle
}

// selects tells whether an item is of the room and the time asked for.
func (f Filter) selects(item persistence.Outbound) bool {
	return (f.RoomID == "" || string(item.RoomID) == f.RoomID) && f.within(item.QueuedAt)
}

// ageOf is the place of an age in ms among AgeBounds.
func ageOf(ms int64) int {
	const minute = 60_000
	n, _ := slices.BinarySearch(AgeBounds, ms/minute+1)
	return n
}

// HoldRules lists the rules, and how many destinations each catches by now.
func (i *Inspector) HoldRules(ctx context.Context, f Filter) ([]HoldRule, error) {
	pattern, err := f.check(queueStates)
	if err != nil {
		return nil, err
	}
	b := &backlog{}
	err = i.view(ctx, func(tx *persistence.Tx) (err error) {
		b.holds, err = tx.Holds()
		return err
	})
	if err == nil {
		err = b.readDestinations(ctx, i, pattern)
	}
	if err != nil {
		return nil, fmt.Errorf("list rules: %w", err)
	}
	rules := []HoldRule{}
	for _, h := range b.holds {
		rule := HoldRule{Pattern: h.Pattern, Reason: h.Reason, Since: h.Since}
		for _, d := range b.destinations {
			if transaction.Pattern(h.Pattern).Matches(d.Server) {
				rule.Matches++
			}
		}
		if f.Server == "" || rule.Pattern == f.Server || rule.Matches > 0 {
			rules = append(rules, rule)
		}
	}
	return rules[:min(len(rules), clampLimit(f.Limit))], nil
}
