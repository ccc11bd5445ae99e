// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"fmt"
	"slices"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Rooms is what the outbox asks about rooms for the sake of servers that are far behind. The calls are made within jobs of the store.
type Rooms interface {
	// Frontier gives the forward extremities of a room, whoever made them, in their order and at most so many, to a server that is
	// in the room; to others none. known is false when we are not in the room ourselves.
	Frontier(tx *persistence.Tx, room ident.RoomID, server ident.ServerName, limit int) (events []persistence.Outbound, known bool, err error)
	// About gives the user whose membership an event gives, if it gives one.
	About(pdu []byte) (ident.UserID, bool)
}

// Backlog is how much of what is queued waits for servers that do not take it, one event after the other. Of what is older they get,
// when they are back, the present of each room that they are in, from where they can find the rest themselves, of other rooms what
// concerns their own users, and every EDU. It is the same for all servers: the log that they are behind on is one.
type Backlog struct {
	Items int           // the newest so many, whomever they are for
	Age   time.Duration // and none that is older
}

// DefaultBacklog is ten thousand items and a week. A peer asks for the events of a gap in tens; what it gets itself one by one
// it need not ask for.
func DefaultBacklog() Backlog { return Backlog{Items: 10_000, Age: 7 * 24 * time.Hour} }

func (b Backlog) orDefault() Backlog {
	d := DefaultBacklog()
	return Backlog{Items: positive(b.Items, d.Items), Age: positive(b.Age, d.Age)}
}

// gathering is the contents of a destination's next transaction, from the log. Where the log is compacted, an event of a room
// stands for all that was queued of it: the destination is given the room's present instead, and nothing of the room that is queued
// by now any more, since what the present rests on is the rest.
type gathering struct {
	tx      *persistence.Tx
	to      ident.ServerName
	rooms   Rooms
	batch   *batch
	covered map[ident.RoomID]persistence.Position // up to where the destination needs nothing more of a room
	drops   []persistence.Drop                    // what operators have dropped
	given   map[ident.RoomID]persistence.Position // rooms whose present is in the batch, with the place of what stood for them
	skipped bool                                  // something that the destination needs no more
	err     error
}

// gather begins a transaction for a destination that has had the log up to from.
func (o *Outbox) gather(tx *persistence.Tx, log *persistence.LogReader, to ident.ServerName, from persistence.Position, into *batch) (*gathering, error) {
	covered, err := log.Covered(to, from)
	if err != nil {
		return nil, fmt.Errorf("rooms that %s was given: %w", to, err)
	}
	return &gathering{tx: tx, to: to, rooms: o.rooms, batch: into, covered: covered}, nil
}

// take is handed the items of the log in order, until it refuses one or fails.
func (g *gathering) take(item persistence.Outbound) bool {
	if slices.ContainsFunc(g.drops, func(d persistence.Drop) bool { return d.Fits(item) }) {
		g.skipped = true
		return true
	}
	if item.Kind != persistence.KindPDU {
		return g.batch.take(item)
	}
	if _, given := g.given[item.RoomID]; given || item.Position <= g.covered[item.RoomID] {
		g.skipped = true
		return true
	}
	if !item.Compacted || g.rooms == nil {
		return g.batch.take(item)
	}
	present, known, err := g.rooms.Frontier(g.tx, item.RoomID, g.to, maxFrontier)
	if err != nil {
		g.err = fmt.Errorf("present of %s: %w", item.RoomID, err)
		return false
	}
	switch {
	case len(present) > 0:
		return g.give(item, present)
	case !known, item.About.Server() == g.to: // our last word there, which is our leave; or that they were kicked, say
		return g.batch.take(item)
	}
	g.skipped = true // they left
	return true
}

// give takes the present of a room in place of what stands for it: whole, or what fits of it into a transaction of its own.
func (g *gathering) give(item persistence.Outbound, present []persistence.Outbound) bool {
	for len(present) > 0 {
		whole := *g.batch
		if whole.takeAll(item.Position, present) {
			*g.batch = whole
			break
		}
		if len(g.batch.items) > 0 {
			return false
		}
		present = present[1:]
	}
	if g.given == nil {
		g.given = map[ident.RoomID]persistence.Position{}
	}
	g.given[item.RoomID] = item.Position
	return true
}

// finish notes, in the job that freezes the batch, what the destination is given with it; or how far the log was looked through, when
// there was nothing in it that it needs.
func (g *gathering) finish(d persistence.Destination, through persistence.Position) error {
	if len(g.batch.items) == 0 && g.skipped && g.err == nil {
		d.Cursor = through
		return g.tx.SetDestination(d)
	}
	for room, at := range g.given {
		if err := g.tx.Cover(g.to, room, at, g.tx.LastPosition()); err != nil {
			return fmt.Errorf("note the present of %s for %s: %w", room, g.to, err)
		}
	}
	return g.err
}

// again fills a batch with what is parked: the item, or where that stands for its room, whose present was refused, the present as it is
// by now.
func (t turn) again(tx *persistence.Tx, item persistence.Outbound) ([]persistence.Outbound, error) {
	var b batch
	g := &gathering{tx: tx, to: t.stored.Server, rooms: t.outbox.rooms, batch: &b}
	g.take(item)
	if len(b.items) == 0 { // it has left the room since
		return []persistence.Outbound{item}, g.err
	}
	return b.items, g.err
}
