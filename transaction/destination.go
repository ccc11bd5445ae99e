// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"
	"errors"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// phase is where a destination stands. Every transition is a method below.
//
//	        wake                a free place             nothing left
//	idle ─────────► ready ────────────────────► sending ─────────────► idle
//	                  ▲                          │    │
//	                  ├───────── more ───────────┘    │ failure
//	                  └────── time, contact ─── waiting ◄┘
type phase int

const (
	idle phase = iota
	ready
	sending
	waiting
)

// destination is what the dispatcher keeps in memory of a server. An idle one costs this struct and its place in a map.
type destination struct {
	name    ident.ServerName
	phase   phase
	from    persistence.Position // nothing up to here is still to be sent
	again   bool                 // more was queued while it was sending
	retryAt time.Time            // while waiting
	stored  persistence.Destination
}

// outcome is what became of one turn of a destination.
type outcome struct {
	destination *destination
	stored      persistence.Destination // as it now stands in the store
	from        persistence.Position    // how far the log has been looked through
	sent        bool                    // a transaction was answered
	more        bool                    // there may be more to send at once
	retryAt     time.Time               // not zero: it failed
	err         error                   // the store failed
}

func (o *Outbox) makeReady(d *destination) {
	d.phase, d.again = ready, false
	o.ready = append(o.ready, d)
}

// dispatch starts as many ready destinations as there are free places.
func (o *Outbox) dispatch(ctx context.Context) {
	for len(o.ready) > 0 && o.sending < o.policy.Concurrent {
		d := o.ready[0]
		o.ready = o.ready[1:]
		d.phase = sending
		o.sending++
		turn := turn{outbox: o, destination: d, stored: d.stored, from: d.from, random: o.rand.Float64()}
		go func() { o.outcomes <- turn.run(ctx) }()
	}
}

// settle moves a destination on after its turn.
func (o *Outbox) settle(ctx context.Context, result outcome) error {
	if errors.Is(result.err, persistence.ErrClosed) {
		return result.err
	}
	d := result.destination
	d.from, d.stored = result.from, result.stored
	switch {
	case !result.retryAt.IsZero():
		d.phase, d.retryAt = waiting, result.retryAt
	case result.more || d.again:
		o.makeReady(d)
	default:
		d.phase = idle
	}
	if result.sent {
		o.ended++
	}
	if o.ended < trimEvery {
		return nil
	}
	o.ended = 0
	return o.trim(ctx)
}

// readMail works in what the mailbox holds.
func (o *Outbox) readMail(now time.Time) {
	news := o.mail.take()
	o.seen = max(o.seen, news.last)
	for server, position := range news.wakes {
		d, known := o.destinations[server]
		if !known {
			d = &destination{name: server, stored: persistence.Destination{Server: server}}
			o.destinations[server] = d
		}
		switch d.phase {
		case idle:
			d.from = max(d.from, position-1)
			o.makeReady(d)
		case sending:
			d.again = true
		}
	}
	for server := range news.heard {
		d, known := o.destinations[server]
		if known && d.phase == waiting && now.Sub(time.UnixMilli(d.stored.LastFailure)) >= o.policy.Contact {
			o.makeReady(d)
		}
	}
}

// wakeDue ends the waiting of those whose time has come.
func (o *Outbox) wakeDue(now time.Time) {
	for _, d := range o.destinations {
		if d.phase == waiting && !d.retryAt.After(now) {
			o.makeReady(d)
		}
	}
}

// untilNext is how long nothing becomes due.
func (o *Outbox) untilNext(now time.Time) time.Duration {
	next := time.Hour
	for _, d := range o.destinations {
		if d.phase == waiting {
			next = min(next, max(0, d.retryAt.Sub(now)))
		}
	}
	return next
}

// trim forgets what every destination is past. An idle destination is past everything whose wake-up has been worked in.
func (o *Outbox) trim(ctx context.Context) error {
	through := o.seen
	for _, d := range o.destinations {
		if d.phase != idle {
			through = min(through, d.from)
		}
	}
	return o.store.Update(ctx, func(tx *persistence.Tx) error { return tx.TrimOutbound(through) })
}
