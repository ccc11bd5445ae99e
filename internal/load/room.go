// SPDX-License-Identifier: Apache-2.0

package load

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

const typeMember = "m.room.member"

// state is the events of a room's state.
type state map[event.StateKey]*event.Event

// room is a room as its origin knows it: the state that it joined with, and its own events since. Building belongs to one goroutine;
// mu guards events, which the target may ask for meanwhile.
type room struct {
	id      ident.RoomID
	version *event.Version
	origin  *origin

	joined state          // before our join
	state  state          // after the heads
	heads  []*event.Event // that the next event follows
	users  []ident.UserID // ours who are joined

	mu     sync.RWMutex
	events map[ident.EventID]int // our events, the join first, by their place in list
	list   []*event.Event
}

func newRoom(id ident.RoomID, o *origin, join *event.Event) *room {
	return &room{
		id: id, version: join.Version(), origin: o, joined: state{}, users: []ident.UserID{join.Sender()},
		events: map[ident.EventID]int{},
	}
}

// takeState takes over an event of the state before our join. It is not verified: whoever lies to us spoils only our load.
func (r *room) takeState(text []byte) error {
	e, err := event.ParseBackfilled(r.version, text)
	if err != nil {
		return err
	}
	if slot, ok := e.Slot(); ok {
		r.joined[slot] = e
	}
	return nil
}

// begin starts our part of the room.
func (r *room) begin(join *event.Event) {
	r.state = maps.Clone(r.joined)
	r.add(join)
	r.heads = []*event.Event{join}
}

// add makes an event known to those who ask, and its state that of the room.
func (r *room) add(e *event.Event) {
	if slot, ok := e.Slot(); ok {
		r.state[slot] = e
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events[e.ID()] = len(r.list)
	r.list = append(r.list, e)
}

// event is one of ours; ok is false for any other.
func (r *room) event(id ident.EventID) (e *event.Event, ok bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	i, ok := r.events[id]
	if !ok {
		return nil, false
	}
	return r.list[i], true
}

// build makes an event of the origin's that follows the given ones.
func (r *room) build(after []*event.Event, p event.Proto) (*event.Event, error) {
	return r.buildAs(r.origin.name, r.origin.key, after, p)
}

// buildAs is build for another server's event.
func (r *room) buildAs(server ident.ServerName, key signing.Key, after []*event.Event, p event.Proto) (*event.Event, error) {
	p.RoomID = r.id
	for _, e := range after {
		p.PrevEvents = append(p.PrevEvents, e.Ref())
		p.Depth = max(p.Depth, e.Depth()+1)
	}
	content, err := canonicaljson.Parse(p.Content, canonicaljson.Lenient)
	if err != nil {
		return nil, err
	}
	for _, slot := range auth.Needed(r.version, p.Type, p.StateKey, p.Sender, content) {
		if e := r.state[slot]; e != nil {
			p.AuthEvents = append(p.AuthEvents, e.Ref())
		}
	}
	return event.Build(r.version, p, server, key)
}

// checkPower says whether any user may send what the load is made of.
func (r *room) checkPower(sendsState bool) error {
	levels := r.state[event.StateKey{Type: "m.room.power_levels"}]
	need := func(name string, otherwise int64) int64 {
		if levels == nil {
			return 0
		}
		if n, ok := levels.Content().Get(name).Int(); ok {
			return n
		}
		return otherwise
	}
	has := need("users_default", 0)
	if need("events_default", 0) > has {
		return fmt.Errorf("room %s: its power levels let users of ours send no messages", r.id)
	}
	if n := need("state_default", powerUnset); sendsState && n > has {
		return fmt.Errorf("room %s: users of ours have power %d and need %d to set state: have state_default lowered there, or send none",
			r.id, has, n)
	}
	return nil
}

// ancestors is an event and those of ours that it follows, in the order in which they were made.
func (r *room) ancestors(id ident.EventID) []*event.Event {
	r.mu.RLock()
	defer r.mu.RUnlock()
	seen := map[int]bool{}
	next := []ident.EventID{id}
	for len(next) > 0 {
		i, ours := r.events[next[0]]
		next = next[1:]
		if ours && !seen[i] {
			seen[i] = true
			next = append(next, r.list[i].PrevEvents()...)
		}
	}
	found := make([]*event.Event, 0, len(seen))
	for _, i := range slices.Sorted(maps.Keys(seen)) {
		found = append(found, r.list[i])
	}
	return found
}

// stateBefore is the state before one of our events, as far as forks do not contradict each other.
func (r *room) stateBefore(id ident.EventID) state {
	before := maps.Clone(r.joined)
	for _, e := range r.ancestors(id) {
		if slot, ok := e.Slot(); ok && e.ID() != id {
			before[slot] = e
		}
	}
	return before
}
