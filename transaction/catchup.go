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
// by now any more, since what the present rests on is the rest. The events of a present are queued one by one, ahead of the log, so that
// they are sent, refused and parked like any others.
type gathering struct {
	tx      *persistence.Tx
	to      ident.ServerName
	from    persistence.Position // it has had the log up to here
	rooms   Rooms
	batch   *batch
	drops   []persistence.Drop                    // what operators have dropped
	covered map[ident.RoomID]persistence.Position // up to where the destination needs nothing more of a room
	due     []present                             // of rooms that the log has shown, not queued yet
	events  int                                   // in those
	ahead   bool                                  // the batch is of presents
	skipped bool                                  // something that the destination needs no more
	err     error
}

// present is what is given of a room to a server that was away.
type present struct {
	room   ident.RoomID
	events []persistence.Outbound
}

// fill fills the batch with what is next for the destination: of presents that are queued for it, or else from the log, up to through;
// or, where the log shows that the presents of rooms are due, with these.
func (g *gathering) fill(log *persistence.LogReader) (through persistence.Position, atEnd bool, err error) {
	if g.covered, err = log.Covered(g.to, g.from); err != nil {
		return g.from, false, fmt.Errorf("rooms that %s was given: %w", g.to, err)
	}
	if len(g.covered) > 0 {
		if any, err := g.takePresents(); err != nil || any {
			return g.from, false, err
		}
	}
	through, atEnd, err = log.Next(g.to, g.from, maxScan, g.take)
	if err == nil {
		err = g.err
	}
	if err != nil || len(g.due) == 0 {
		return through, atEnd, err
	}
	now := time.Now().UnixMilli()
	for _, p := range g.due {
		if err := g.tx.QueuePresent(g.to, p.room, p.events, now); err != nil {
			return g.from, false, fmt.Errorf("queue the present of %s for %s: %w", p.room, g.to, err)
		}
	}
	_, err = g.takePresents()
	return g.from, false, err
}

// takePresents fills the batch with what is queued of presents, and tells whether there was any.
func (g *gathering) takePresents() (any bool, err error) {
	events, err := g.tx.Present(g.to, MaxPDUs)
	if err != nil {
		return false, fmt.Errorf("present of rooms for %s: %w", g.to, err)
	}
	for _, item := range events {
		if g.dropped(item) {
			err = g.tx.ForgetPresent(item.Position)
		} else if !g.batch.take(item) {
			break
		}
		if err != nil {
			return false, err
		}
	}
	g.ahead = len(events) > 0
	return g.ahead, nil
}

func (g *gathering) dropped(item persistence.Outbound) bool {
	return slices.ContainsFunc(g.drops, func(d persistence.Drop) bool { return d.Fits(item) })
}

// take is handed the items of the log in order, until it refuses one or fails.
func (g *gathering) take(item persistence.Outbound) bool {
	if g.dropped(item) || item.Kind == persistence.KindPDU && item.Position <= g.covered[item.RoomID] {
		g.skipped = true
		return true
	}
	if item.Compacted && g.rooms != nil {
		events, known, err := g.rooms.Frontier(g.tx, item.RoomID, g.to, maxFrontier)
		if err != nil {
			g.err = fmt.Errorf("present of %s: %w", item.RoomID, err)
			return false
		}
		switch {
		case len(events) > 0:
			return g.give(item, events)
		case known && item.About.Server() != g.to: // they left
			g.skipped = true
			return true
		}
		// What is left is our last word there, which is our leave; or that they were kicked, say.
	}
	if len(g.due) > 0 { // it comes after those
		return true
	}
	return g.batch.take(item)
}

// give has the present of a room be due, in place of what stands for it: of so many rooms at once as go into one transaction. What was
// said of the destination's own users goes before it: who was removed while others of them stayed is to hear so from the event that did
// it, and not only to be gone from the state that the destination finds.
func (g *gathering) give(item persistence.Outbound, frontier []persistence.Outbound) bool {
	if len(g.batch.items) > 0 {
		return false
	}
	events, err := g.tx.LastWords(g.to, item.RoomID, g.from)
	if err != nil {
		g.err = fmt.Errorf("last words on users of %s in %s: %w", g.to, item.RoomID, err)
		return false
	}
	events = slices.DeleteFunc(events, func(word persistence.Outbound) bool {
		same := func(e persistence.Outbound) bool { return e.EventID == word.EventID }
		return g.dropped(word) || slices.ContainsFunc(frontier, same)
	})
	events = append(events, frontier...)
	if len(g.due) > 0 && g.events+len(events) > MaxPDUs {
		return false
	}
	g.due, g.events = append(g.due, present{item.RoomID, events}), g.events+len(events)
	if g.covered == nil {
		g.covered = map[ident.RoomID]persistence.Position{}
	}
	g.covered[item.RoomID] = g.tx.LastPosition()
	return true
}

// passOver notes how far the log was looked through, when there was nothing in it that the destination needs.
func (g *gathering) passOver(d persistence.Destination, through persistence.Position) error {
	if len(g.batch.items) > 0 || !g.skipped {
		return nil
	}
	d.Cursor = through
	return g.tx.SetDestination(d)
}
