// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// Sender performs signed requests; *transport.Client is one.
type Sender interface {
	Do(ctx context.Context, destination ident.ServerName, call transport.Call) (transport.Answer, error)
}

// OutboxConfig is what an outbox needs. Policy, Backlog, Jitter and Trace may be left out; without Rooms everything that was queued
// waits for a server until it takes it.
type OutboxConfig struct {
	Self    ident.ServerName
	Store   *persistence.Store
	Sender  Sender
	Rooms   Rooms
	Policy  RetryPolicy
	Backlog Backlog
	Jitter  transport.Jitter // of retries
	Trace   trace.Sink
}

// Outbox delivers the outbound log. Run's goroutine, the dispatcher, owns destinations; the mailbox is what others may touch.
type Outbox struct {
	self    ident.ServerName
	store   *persistence.Store
	convoy  *convoy // to the store, for turns
	sender  Sender
	rooms   Rooms
	policy  RetryPolicy
	backlog Backlog
	jitter  transport.Jitter
	trace   trace.Sink
	mail    *mailbox

	destinations map[ident.ServerName]*destination
	sound        lane // ready destinations of which no harm is known
	failing      lane // ready ones whose last attempt failed: few places, so that those that hang leave room for the others
	slow         lane // destinations that take their time over their first attempt after a success; nobody stands in line for it
	flying       []flight
	waiting      waitingRoom
	outcomes     chan outcome
	free         []worker             // have given their outcome, and wait for another turn
	seen         persistence.Position // the last position whose wake-up has been worked in
	rules        []Pattern            // which servers are held
	drops        bool                 // some of what was queued may have been dropped
	orders       chan func()          // for the dispatcher, from operators who wait for its answer

	stirred   int                  // transactions answered, and news, since the log was last trimmed
	trimmed   persistence.Position // up to here
	compacted compaction
	trimming  bool // on its own goroutine, which tells trims
	trims     chan trimming
}

// NewOutbox returns an outbox that accepts items at once and delivers them while Run runs.
func NewOutbox(cfg OutboxConfig) (*Outbox, error) {
	if cfg.Store == nil || cfg.Sender == nil || cfg.Self == "" {
		return nil, errors.New("outbox: Self, Store and Sender are required")
	}
	policy := cfg.Policy.orDefault()
	probes := max(1, policy.Concurrent/4) // a quarter: known to fail, they are in no hurry
	return &Outbox{
		self: cfg.Self, store: cfg.Store, convoy: newConvoy(cfg.Store), sender: cfg.Sender, rooms: cfg.Rooms, policy: policy,
		backlog: cfg.Backlog.orDefault(), jitter: cmp.Or(cfg.Jitter, transport.NewJitter()),
		trace: trace.OrDiscard(cfg.Trace), mail: newMailbox(),
		destinations: map[ident.ServerName]*destination{},
		sound:        lane{places: max(1, policy.Concurrent-probes)},
		failing:      lane{places: probes},
		slow:         lane{places: slowPlaces * policy.Concurrent},
		outcomes:     make(chan outcome),
		trims:        make(chan trimming),
		orders:       make(chan func()),
	}, nil
}

// EnqueuePDU queues an event for servers, within the job that stores the event: either both are durable or neither is.
// Delivery starts after the commit. Our own name among the servers is skipped.
func (o *Outbox) EnqueuePDU(tx *persistence.Tx, room ident.RoomID, id ident.EventID, pdu []byte, servers []ident.ServerName) error {
	item := persistence.Outbound{Kind: persistence.KindPDU, RoomID: room, EventID: id, Content: pdu}
	if o.rooms != nil {
		item.About, _ = o.rooms.About(pdu)
	}
	return o.enqueue(tx, item, servers)
}

// EnqueueEDU queues an EDU, the canonical JSON of {"edu_type", "content"}, likewise.
func (o *Outbox) EnqueueEDU(tx *persistence.Tx, edu []byte, servers []ident.ServerName) error {
	return o.enqueue(tx, persistence.Outbound{Kind: persistence.KindEDU, Content: edu}, servers)
}

func (o *Outbox) enqueue(tx *persistence.Tx, item persistence.Outbound, servers []ident.ServerName) error {
	others := make([]ident.ServerName, 0, len(servers))
	for _, server := range servers {
		if server != o.self {
			others = append(others, server)
		}
	}
	if len(others) == 0 {
		return nil
	}
	item.QueuedAt = time.Now().UnixMilli()
	queued, err := tx.Enqueue(item, others)
	if err != nil {
		return err
	}
	tx.AfterCommit(func() { o.mail.wake(queued.Position, others) })
	return nil
}

// Heard tells that a server reached us: if it is backing off, it may be worth another try.
func (o *Outbox) Heard(server ident.ServerName) { o.mail.heard(server) }

// Run delivers until ctx ends, then waits for the attempts under way to be broken off, and returns nil. What they were
// about is frozen and goes out again, the same, when Run runs next. It returns an error when the store has ended. There must not
// be two at a time.
func (o *Outbox) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer o.drain()
	defer cancel()
	if err := o.load(ctx); err != nil {
		return endOf(ctx, err)
	}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		o.moveSlow(time.Now())
		o.dispatch(ctx)
		timer.Reset(o.untilNext(time.Now()))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			o.wakeDue(time.Now())
		case <-o.mail.signal:
			o.readMail()
			o.stir(ctx)
		case result := <-o.outcomes:
			if err := o.settle(ctx, result); err != nil {
				return endOf(ctx, err)
			}
		case order := <-o.orders:
			order()
		case done := <-o.trims:
			if err := o.settleTrim(done); err != nil {
				return endOf(ctx, err)
			}
		}
	}
}

// endOf keeps an error from being reported that only says that we were told to stop.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// legacy is what an earlier run left.
type legacy struct {
	destinations []persistence.Destination
	behind       map[ident.ServerName]bool
	parked       map[ident.ServerName]int64
	holds        []persistence.Hold
	drops        bool
	last         persistence.Position
}

func readLegacy(tx *persistence.Tx) (l legacy, err error) {
	l.last = tx.LastPosition()
	if l.destinations, err = tx.Destinations(); err != nil {
		return l, err
	}
	if l.behind, err = tx.Behind(); err != nil {
		return l, err
	}
	if l.parked, err = tx.NextParked(); err != nil {
		return l, err
	}
	if l.holds, err = tx.Holds(); err != nil {
		return l, err
	}
	l.drops, err = tx.AnyDrops()
	return l, err
}

// load takes up what an earlier run left: whoever is behind is sent to at once, or when its back-off ends. Those whose back-off
// ended while nothing ran are spread, as they would have been.
func (o *Outbox) load(ctx context.Context) error {
	var left legacy
	err := o.store.View(ctx, func(tx *persistence.Tx) (err error) {
		left, err = readLegacy(tx)
		return err
	})
	if err != nil {
		return fmt.Errorf("load destinations: %w", err)
	}
	o.seen, o.trimmed, o.compacted = left.last, 0, compaction{at: time.Now(), seen: left.last}
	o.drops, o.rules = left.drops, patterns(left.holds)
	now := time.Now()
	for _, d := range left.destinations {
		state := &destination{from: d.Cursor, stored: d, parkedAt: left.parked[d.Server]}
		o.destinations[d.Server] = state
		retryAt := time.UnixMilli(min(d.RetryAt, now.Add(o.policy.Max).UnixMilli())) // a clock may have been wrong
		switch {
		case !left.behind[d.Server]:
			state.from = left.last
			o.rest(state)
		case retryAt.After(now):
			o.makeWait(state, retryAt)
		case state.failing():
			o.makeWait(state, now.Add(o.jitter.Of(o.policy.First, string(d.Server), now)))
		default:
			o.makeReady(state)
		}
	}
	return nil
}

// drain takes the outcomes of what the end of Run broke off, and forgets what the next one reads anew.
func (o *Outbox) drain() {
	for o.sound.taken+o.failing.taken+o.slow.taken > 0 {
		result := <-o.outcomes
		o.leave(result.destination, result.by)
	}
	o.dismiss()
	if o.trimming {
		<-o.trims
	}
	o.trimming, o.waiting, o.flying, o.sound.line, o.failing.line = false, nil, nil, nil, nil
	clear(o.destinations)
}
