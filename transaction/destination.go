// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"container/heap"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// phase is where a destination stands. Every transition is a method below.
//
//	        wake                a free place             nothing left
//	idle ─────────► ready ────────────────────► sending ─────────────► idle, or dozing if something is parked for it:
//	                ▲ │ ▲                        │    │                 until that is to be tried again
//	 the rule goes  │ │ ├───────── more ─────────┘    │ failure
//	                │ │ └────── time, contact ─── waiting ◄┘
//	                │ ▼ a rule holds it
//	                held
type phase uint8

const (
	idle phase = iota
	dozing
	ready
	sending
	waiting
	held
)

// destination is what the dispatcher keeps in memory of a server. An idle one costs this struct and its place in a map.
type destination struct {
	phase    phase
	slow     bool                 // while sending: it has a place among the slow
	again    bool                 // more was queued while it was sending
	heard    bool                 // it reached us while it was sending
	place    int32                // in the waiting room, while waiting or dozing
	from     persistence.Position // nothing up to here is still to be sent
	due      int64                // ms; while waiting or dozing: until when; while sending: since when
	parkedAt int64                // ms; when something parked is to be tried again, 0 when nothing is
	stored   persistence.Destination

	volatile   []*volatile // what is of use only now, in the order of coming
	recalled   int64       // ms; when it was last given all of its rooms
	catchingUp bool        // its last transaction held the present of rooms

	nothingOpen bool // no transaction of it is frozen and not answered; false: the store knows
}

func (d *destination) name() ident.ServerName { return d.stored.Server }

// atRest tells that nothing is queued for it.
func (d *destination) atRest() bool { return d.phase == idle || d.phase == dozing }

// failing tells that the last attempt failed, so that the next one may well hang until its timeout; or that the destination was away
// and is given one room after the other, which makes it ask everybody in them for more.
func (d *destination) failing() bool { return d.stored.Failures > 0 || d.catchingUp }

// outcome is what became of one turn of a destination.
type outcome struct {
	destination *destination
	stored      persistence.Destination // as it now stands in the store
	from        persistence.Position    // how far the log has been looked through
	parkedAt    int64                   // as in destination
	sent        bool                    // a transaction was answered
	volatile    []*volatile             // these are dealt with
	recalled    int64                   // as in destination
	catchingUp  bool                    // it held the present of rooms
	more        bool                    // there may be more to send at once
	retryAt     time.Time               // not zero: it failed
	err         error                   // the store failed
	nothingOpen bool                    // as in destination
	by          worker                  // which is free now
}

// makeReady puts a destination in line, unless a rule holds it. Those that are failing have a line of their own.
func (o *Outbox) makeReady(d *destination) {
	d.phase, d.again = ready, false
	if o.holds(d.name()) {
		d.phase = held
		return
	}
	l := o.laneOf(d)
	l.line = append(l.line, d)
}

func (o *Outbox) laneOf(d *destination) *lane {
	if d.failing() {
		return &o.failing
	}
	return &o.sound
}

// makeWait has a destination wait until a time.
func (o *Outbox) makeWait(d *destination, until time.Time) {
	d.phase, d.due = waiting, until.UnixMilli()
	heap.Push(&o.waiting, d)
}

// rest leaves a destination alone for which nothing is queued, until it is time for what is parked.
func (o *Outbox) rest(d *destination) {
	d.phase = idle
	if d.parkedAt != 0 {
		d.phase, d.due = dozing, d.parkedAt
		heap.Push(&o.waiting, d)
	}
}

// rouse makes ready what waits or dozes, before its time.
func (o *Outbox) rouse(d *destination) {
	heap.Remove(&o.waiting, int(d.place))
	o.makeReady(d)
}

// lane is a line of destinations for places of which there are so many.
type lane struct {
	line   []*destination
	places int
	taken  int
}

// next takes the first in line, nil if there is none or no place.
func (l *lane) next() *destination {
	if len(l.line) == 0 || l.taken >= l.places { // who asks by itself has a place beyond them
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
			if l == &o.sound {
				o.watch(d, time.Now())
			}
			turn := o.turnOf(d)
			o.employ(func() outcome { return turn.run(ctx) })
		}
	}
	o.dismiss()
}

func (o *Outbox) turnOf(d *destination) turn {
	return turn{
		outbox: o, destination: d, stored: d.stored, from: d.from, parkedAt: d.parkedAt, drops: o.drops,
		volatile: slices.Clone(d.volatile), recalled: d.recalled, nothingOpen: d.nothingOpen, random: o.jitter.Share(string(d.name()), time.Now()),
	}
}

// settle moves a destination on after its turn. Its error is that the store has ended.
func (o *Outbox) settle(ctx context.Context, result outcome) error {
	d := result.destination
	o.leave(d, result.by)
	if result.err != nil {
		if errors.Is(result.err, persistence.ErrClosed) {
			return result.err
		}
		o.trace.Emit(trace.TransactionStoreFailed{Destination: string(d.name()), Error: result.err.Error()})
	}
	d.from, d.stored, d.parkedAt = result.from, result.stored, result.parkedAt
	d.recalled, d.catchingUp, d.nothingOpen = result.recalled, result.catchingUp, result.nothingOpen
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
		o.rest(d)
	}
	if result.sent {
		o.stir(ctx)
	}
	return nil
}

// stir counts what happens, and has the log trimmed when enough has: to see up to where is to look through all destinations.
func (o *Outbox) stir(ctx context.Context) {
	if o.stirred++; o.stirred >= max(trimEvery, len(o.destinations)/trimLooks) && !o.trimming {
		o.startTrim(ctx)
	}
}

// leave gives back the place of a destination that had its turn, and the worker that did it; the destination still is what it was when it
// took it.
func (o *Outbox) leave(d *destination, by worker) {
	o.free = append(o.free, by)
	if d.slow {
		d.slow = false
		o.slow.taken--
		return
	}
	o.laneOf(d).taken--
}

// readMail works in what the mailbox holds.
func (o *Outbox) readMail() {
	news := o.mail.take()
	o.seen = max(o.seen, news.last)
	o.drops = o.drops || news.drops
	if news.rules != nil {
		o.setRules(news.rules)
	}
	for _, server := range inOrder(news.wakes, o.jitter.Share("", time.Now())) {
		position, d := news.wakes[server], o.destinationOf(server)
		switch d.phase {
		case idle:
			d.from = max(d.from, position-1)
			o.makeReady(d)
		case dozing:
			d.from = max(d.from, position-1)
			o.rouse(d)
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

// inOrder gives servers by name, from one on that chance, from [0, 1), chooses, so that nobody is always the last: the store has the
// rows of neighbours near each other, and writes those of many at once.
func inOrder(wakes map[ident.ServerName]persistence.Position, chance float64) []ident.ServerName {
	servers := slices.Sorted(maps.Keys(wakes))
	first := int(chance * float64(len(servers)))
	return slices.Concat(servers[first:], servers[:first])
}

// destinationOf gives what is known of a server, which begins here if nothing is.
func (o *Outbox) destinationOf(server ident.ServerName) *destination {
	d, known := o.destinations[server]
	if !known {
		d = &destination{stored: persistence.Destination{Server: server}}
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
		o.bringForward(d, max(d.stored.LastFailure+o.policy.Contact.Milliseconds(), d.stored.NotBefore))
	}
}

// bringForward has one that waits wait no longer than until a time, in ms.
func (o *Outbox) bringForward(d *destination, at int64) {
	if at < d.due {
		d.due = at
		heap.Fix(&o.waiting, int(d.place))
	}
}

// wakeDue ends the waiting of those whose time has come.
func (o *Outbox) wakeDue(now time.Time) {
	for len(o.waiting) > 0 && o.waiting[0].due <= now.UnixMilli() {
		o.makeReady(heap.Pop(&o.waiting).(*destination))
	}
}

// untilNext is how long nothing becomes due.
func (o *Outbox) untilNext(now time.Time) time.Duration {
	const lookAgain = time.Hour // should the clock be set meanwhile
	next := now.Add(lookAgain)
	if len(o.waiting) > 0 {
		next = earlier(next, time.UnixMilli(o.waiting[0].due))
	}
	if len(o.flying) > 0 && o.slow.taken < o.slow.places {
		next = earlier(next, o.flying[0].since.Add(patience))
	}
	return max(0, next.Sub(now))
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
