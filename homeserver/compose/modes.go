// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"slices"
	"time"

	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// There are two ways to find what happened since a token, with the same outcome. Polylog looks everything up that a user might have to
// be told of: its cost is that of the user's rooms, however long ago the token is. Linear goes through all that has happened on this
// server since, which is at hand for a while, and looks up what it meets: its cost is that of the time passed. The cheaper one is taken.

// What the two cost, as BenchmarkIncremental has them.
const (
	linearStep  = 100 * time.Nanosecond // a change
	polylogRoom = 40 * time.Microsecond // a room
	// maxLinear is how many positions are gone through at most.
	maxLinear = 65_536
)

// Way is how a composition finds what happened.
type Way int

// The ways.
const (
	Cheaper Way = iota
	Polylog
	Linear
)

// scan is what linear has met of what may concern the user. Nil is polylog, which has met nothing and looks for all.
type scan struct {
	rooms map[ident.RoomID]*met
	kinds map[stream.Kind]bool // of what is the user's own, or of their company
}

// met is what happened in a room.
type met struct {
	events []stream.Change
	silent bool // its state has changed without an event
}

// plan chooses the way, for a user in so many rooms.
func (x *composition) plan(rooms int) {
	passed := x.now - x.since
	if x.way == Polylog || x.initial || x.fullState || passed > maxLinear {
		return
	}
	if x.way == Cheaper && time.Duration(passed)*linearStep > time.Duration(rooms)*polylogRoom {
		return
	}
	if changes, whole := x.c.ring.Between(x.since, x.now); whole {
		x.scan = scanOf(changes, x.user)
	}
}

func scanOf(changes []stream.Change, user ident.UserID) *scan {
	s := &scan{rooms: map[ident.RoomID]*met{}, kinds: map[stream.Kind]bool{}}
	for _, c := range changes {
		if !c.Kind.OfRoom() {
			if c.User == user || c.Kind.OfCompany() {
				s.kinds[c.Kind] = true
			}
			continue
		}
		m := s.rooms[c.Room]
		if m == nil {
			m = &met{}
			s.rooms[c.Room] = m
		}
		switch c.Kind { // typing and receipts are looked up in what was met
		case stream.Event:
			m.events = append(m.events, c)
		case stream.State:
			m.silent = true
		}
	}
	return s
}

// may says whether something of a kind may have happened that concerns the user.
func (s *scan) may(kind stream.Kind) bool { return s == nil || s.kinds[kind] }

// in is what was met in a room.
func (s *scan) in(room ident.RoomID) met {
	if m := s.rooms[room]; m != nil {
		return *m
	}
	return met{}
}

// findTail finds the timeline, either way.
func (p *roomPart) findTail() (err error) {
	limit := p.x.filter.timelineLimit()
	if s := p.x.scan; s != nil && p.after == p.x.since && !s.in(p.room).silent {
		events := s.in(p.room).events
		events = slices.Clone(events[:endOf(events, p)])
		p.tail, err = p.x.c.view.TailOf(p.x.ctx, events, limit, p.choose)
		return err
	}
	p.tail, err = p.x.c.view.Tail(p.x.ctx, p.nid, p.after, p.end, limit, p.choose)
	return err
}

// endOf is how many of the events come before the end.
func endOf(events []stream.Change, p *roomPart) int {
	n, _ := slices.BinarySearchFunc(events, p.end+1, func(c stream.Change, end persistence.Position) int { return int(c.Position - end) })
	return n
}
