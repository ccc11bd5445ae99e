// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"container/heap"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
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
	heard   bool                 // it reached us while it was sending
	retryAt time.Time            // while waiting
	place   int                  // in the waiting room, while waiting
	stored  persistence.Destination

	volatile   []*volatile // what is of use only now, in the order of coming
	catchingUp bool        // its last transaction held the present of rooms
}

// failing tells that the last attempt failed, so that the next one may well hang until its timeout; or that the destination was away
// and is given one room after the other, which makes it ask everybody in them for more.
func (d *destination) failing() bool { return d.stored.Failures > 0 || d.catchingUp }

// outcome is what became of one turn of a destination.
type outcome struct {
	destination *destination
	stored      persistence.Destination // as it now stands in the store
	from        persistence.Position    // how far the log has been looked through
	sent        bool                    // a transaction was answered
	volatile    []*volatile             // these are dealt with
	catchingUp  bool                    // it held the present of rooms
	more        bool                    // there may be more to send at once
	retryAt     time.Time               // not zero: it failed
	err         error                   // the store failed
}

// makeReady puts a destination in line. Those that are failing have a line of their own.
func (o *Outbox) makeReady(d *destination) {
	d.phase, d.again = ready, false
	if d.failing() {
		o.failing.line = append(o.failing.line, d)
	} else {
		o.sound.line = append(o.sound.line, d)
	}
}

// makeWait has a destination wait until a time.
func (o *Outbox) makeWait(d *destination, until time.Time) {
	d.phase, d.retryAt = waiting, until
	heap.Push(&o.waiting, d)
}

// lane is a line of destinations for places of which there are so many.
type lane struct {
	line   []*destination
	places int
	taken  int
}

// next takes the first in line, nil if there is none or no place.
func (l *lane) next() *destination {
	if len(l.line) == 0 || l.taken == l.places {
		return nil
	}
	d := l.line[0]
	l.line = l.line[1:]
	l.taken++
	return d
}

// dispatch starts as many ready destinations as there are places.
func (o *Outbox) dispatch(ctx context.Context) {
	for _, l := range []*lane{&o.sound, &o.failing} {
		for d := l.next(); d != nil; d = l.next() {
			d.phase, d.heard = sending, false
			turn := turn{outbox: o, destination: d, stored: d.stored, from: d.from, volatile: slices.Clone(d.volatile), random: o.rand.Float64()}
			go func() { o.outcomes <- turn.run(ctx) }()
		}
	}
}

// settle moves a destination on after its turn. Its error is that the store has ended.
func (o *Outbox) settle(ctx context.Context, result outcome) error {
	d := result.destination
	o.leave(d)
	if result.err != nil {
		if errors.Is(result.err, persistence.ErrClosed) {
			return result.err
		}
		o.trace.Emit(trace.TransactionStoreFailed{Destination: string(d.name), Error: result.err.Error()})
	}
	d.from, d.stored, d.catchingUp = result.from, result.stored, result.catchingUp
	d.dropVolatile(result.volatile)
	switch {
	case !result.retryAt.IsZero():
		o.makeWait(d, result.retryAt)
		if d.heard && result.err == nil {
			o.hear(d)
		}
	case result.more || d.again || result.sent && len(d.volatile) > 0:
		o.makeReady(d)
	default:
		d.phase = idle
	}
	if result.sent {
		o.stir(ctx)
	}
	return nil
}

// stir counts what happens, and has the log trimmed when enough has.
func (o *Outbox) stir(ctx context.Context) {
	if o.stirred++; o.stirred >= trimEvery && !o.trimming {
		o.startTrim(ctx)
	}
}

// leave gives back the place of a destination that had its turn; it still is what it was when it took it.
func (o *Outbox) leave(d *destination) {
	if d.failing() {
		o.failing.taken--
	} else {
		o.sound.taken--
	}
}

// readMail works in what the mailbox holds.
func (o *Outbox) readMail() {
	news := o.mail.take()
	o.seen = max(o.seen, news.last)
	for server, position := range news.wakes {
		d := o.destinationOf(server)
		switch d.phase {
		case idle:
			d.from = max(d.from, position-1)
			o.makeReady(d)
		case sending:
			d.again = true
		}
	}
	o.readVolatile(news.volatile)
	for server := range news.heard {
		if d, known := o.destinations[server]; known {
			o.hear(d)
		}
	}
}

// destinationOf gives what is known of a server, which begins here if nothing is.
func (o *Outbox) destinationOf(server ident.ServerName) *destination {
	d, known := o.destinations[server]
	if !known {
		d = &destination{name: server, stored: persistence.Destination{Server: server}}
		o.destinations[server] = d
	}
	return d
}

// hear takes notice that a server reached us. Its next try comes forward to Contact after the last failure, but not to before the
// time that it asked for itself.
func (o *Outbox) hear(d *destination) {
	switch d.phase {
	case sending:
		d.heard = true
	case waiting:
		at := time.UnixMilli(max(d.stored.LastFailure+o.policy.Contact.Milliseconds(), d.stored.NotBefore))
		if at.Before(d.retryAt) {
			d.retryAt = at
			heap.Fix(&o.waiting, d.place)
		}
	}
}

// wakeDue ends the waiting of those whose time has come.
func (o *Outbox) wakeDue(now time.Time) {
	for len(o.waiting) > 0 && !o.waiting[0].retryAt.After(now) {
		o.makeReady(heap.Pop(&o.waiting).(*destination))
	}
}

// untilNext is how long nothing becomes due.
func (o *Outbox) untilNext(now time.Time) time.Duration {
	const lookAgain = time.Hour // should the clock be set meanwhile
	if len(o.waiting) == 0 {
		return lookAgain
	}
	return max(0, min(lookAgain, o.waiting[0].retryAt.Sub(now)))
}
