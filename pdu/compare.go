// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// Comparison is the state before one event, as two servers have it.
type Comparison struct {
	Server      ident.ServerName
	At          ident.EventID // an event that both have
	Same        int           // slots with the same event
	Differences []Difference  // sorted by type and state key
	Unread      []ident.EventID
}

// Difference is a slot with different events, "" for an empty one.
type Difference struct {
	Slot   event.StateKey
	Ours   ident.EventID
	Theirs ident.EventID
	Known  Outcome // what became here of theirs; Dropped if it is not stored

}

// What a comparison may cost.
const (
	maxComparedHeads  = 20 // events that are tried until the other server knows one
	maxComparedEvents = 50 // unknown events of theirs that are fetched; the others are listed by id
)

// CompareState holds our state of a room against that of another server in it: the state before the latest event that both have
// (E-11). It trusts nothing of the answer and stores nothing.
func (e *Engine) CompareState(ctx context.Context, id ident.RoomID, server ident.ServerName) (Comparison, error) {
	head, err := e.knownRoom(ctx, id)
	if err != nil {
		return Comparison{}, err
	}
	q := e.inquire(head, spending{maxComparedHeads + maxComparedEvents, maxStateIDsReply + maxComparedEvents*transport.DefaultMaxReply})
	at, theirs, err := q.commonState(ctx, server)
	if err != nil {
		return Comparison{}, fmt.Errorf("compare %s with %s: %w", id, server, err)
	}
	ours, err := state.All(storedNodes{ctx, e}, at.before)
	if err != nil {
		return Comparison{}, fmt.Errorf("compare %s with %s: %w", id, server, err)
	}
	c := Comparison{Server: server, At: at.event.ID()}
	if err := q.compare(ctx, &c, ours, theirs); err != nil {
		return Comparison{}, fmt.Errorf("compare %s with %s: %w", id, server, err)
	}
	return c, nil
}

// commonState is the state before the deepest of our extremities, or of what they follow, that the other server knows.
func (q *inquiry) commonState(ctx context.Context, server ident.ServerName) (at *record, theirs []ident.EventID, err error) {
	problem := errors.New("there is no event to compare at")
	tried := 0
	level := make([]*record, len(q.head.extremities))
	for i, x := range q.head.extremities {
		level[i] = x.record
	}
	for seen := map[ident.EventID]bool{}; len(level) > 0; {
		slices.SortFunc(level, func(a, b *record) int { return cmp.Compare(b.event.Depth(), a.event.Depth()) })
		var parents []ident.EventID
		for _, r := range level {
			if seen[r.event.ID()] || !r.inGraph {
				continue
			}
			seen[r.event.ID()] = true
			if tried == maxComparedHeads {
				return nil, nil, problem
			}
			theirs, _, err := q.stateIDs(ctx, server, r.event.ID())
			if err == nil {
				return r, theirs, nil
			}
			if tried == 0 || !errors.Is(err, errSilent) {
				problem = err
			}
			tried++
			parents = append(parents, r.event.PrevEvents()...)
		}
		found, err := q.e.records(ctx, parents)
		if err != nil {
			return nil, nil, err
		}
		level = slices.Collect(maps.Values(found))
	}
	return nil, nil, problem
}

// compare finds the slots of their events, and what differs.
func (q *inquiry) compare(ctx context.Context, c *Comparison, ours map[event.StateKey]ident.EventID, theirs []ident.EventID) error {
	here, err := q.e.records(ctx, theirs)
	if err != nil {
		return err
	}
	slots := make(map[event.StateKey]Difference, len(theirs))
	fetched := 0
	for _, id := range theirs {
		d := Difference{Theirs: id, Known: Dropped}
		var x *event.Event
		if r := here[id]; r != nil {
			x, d.Known = r.event, r.outcome
		} else if fetched < maxComparedEvents {
			fetched++
			x = q.readState(ctx, c.Server, id)
		}
		var isState bool
		if x != nil {
			d.Slot, isState = x.Slot()
		}
		if !isState {
			c.Unread = append(c.Unread, id)
			continue
		}
		slots[d.Slot] = d
	}
	for slot, id := range ours {
		d := slots[slot]
		d.Slot, d.Ours = slot, id
		if slots[slot] = d; d.Theirs == id {
			c.Same++
			delete(slots, slot)
		}
	}
	for _, d := range slots {
		c.Differences = append(c.Differences, d)
	}
	slices.SortFunc(c.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Slot.Type, b.Slot.Type), cmp.Compare(a.Slot.Key, b.Slot.Key))
	})
	return nil
}

// readState asks for an event of their state, nil when they do not give it.
func (q *inquiry) readState(ctx context.Context, server ident.ServerName, id ident.EventID) *event.Event {
	list, err := q.event(ctx, server, id)
	if err != nil || len(list) == 0 {
		return nil
	}
	x, err := event.ParseBackfilled(q.head.version, list[0])
	if err != nil || x.ID() != id || x.RoomID() != q.head.id {
		return nil
	}
	return x
}
