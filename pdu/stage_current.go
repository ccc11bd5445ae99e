// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"maps"
	"slices"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/transport/ident"
)

// checkCurrent is the sixth check on receipt: the current state, in which the event itself has no part yet, must allow it,
// or it is kept from users (server-server API, "Soft failure"; P-29, P-37).
//
// While a gap is being closed there is more than one candidate for the current state, and the event passes if one of them
// allows it: that of the extremities; for an event that was fetched, that from before the turn, since what was fetched with it
// is no news that could speak against it; and that with the events that are held back, among which may be the join that the
// event's sender has to thank for its place. For the same reason the state that was given before an event has a part in it where
// the way to the event is missing. A ban that stands in the extremities stands in the last one too.
func (b *batch) checkCurrent(r *record) (auth.Result, error) {
	if r.past == history {
		return auth.Result{OK: true, Rule: "P-37", Detail: "the event is history: the present has no say in it"}, nil
	}
	if b.head.partial != nil {
		return auth.Result{OK: true, Rule: "M-12", Detail: "the members of the room are not known yet"}, nil
	}
	result, err := b.allowedIn(r, b.head.current)
	if err == nil && !result.OK && b.fetched[r.event.ID()] && b.was != nil {
		result, err = b.allowedIn(r, b.was.current)
	}
	onGiven := b.onGiven == r.event.ID()
	if err != nil || result.OK || len(b.head.held) == 0 && !onGiven {
		return result, err
	}
	roots := statesAfter(slices.Concat(b.head.extremities, b.head.held))
	if onGiven {
		roots = append(roots, r.before)
	}
	whole, err := b.resolve(roots)
	if err != nil {
		return auth.Result{}, err
	}
	return b.allowedIn(r, whole)
}

func (b *batch) allowedIn(r *record, current state.Root) (auth.Result, error) {
	if r.before == current || len(b.head.extremities) == 0 {
		return auth.Result{OK: true, Rule: "P-29", Detail: "the current state is the state before the event"}, nil
	}
	result, err := b.checkAt(r.event, current)
	slot, isState := r.event.Slot()
	if err != nil || result.OK || !isState {
		return result, err
	}
	id, _, err := state.Get(b, current, slot)
	if err == nil && id == r.event.ID() { // it came with a state before: who has left by it cannot leave again
		return auth.Result{OK: true, Rule: "P-29", Detail: "the event stands in the current state already"}, nil
	}
	return result, err
}

// advance puts an event in the place of its ancestors among the forward extremities, and makes the current state that of the
// new extremities.
//
// A descended event is followed by one in the graph already: it is no extremity, and neither are its ancestors. An event that
// was fetched, because a quarantined event follows it, is held back until that one is judged and takes its place: the way
// to a gap's end may lead far back, to states in which we were not in the room. Not so one that follows an extremity: it takes
// that one's place, which would otherwise be empty.
func (b *batch) advance(r *record, descended bool) error {
	if b.head.create == "" && r.event.IsState(createSlot) {
		b.head.create = r.event.ID()
	}
	superseded, err := b.superseded(r.event)
	if err != nil {
		return err
	}
	isSuperseded := func(x *extremity) bool { return superseded[x.record.event.ID()] }
	extremities := slices.DeleteFunc(slices.Clone(b.head.extremities), isSuperseded)
	b.head.held = slices.DeleteFunc(slices.Clone(b.head.held), isSuperseded)
	if descended {
		return b.setExtremities(extremities)
	}
	follows := len(extremities) < len(b.head.extremities)
	if hold, err := b.holds(r.event.ID()); err != nil {
		return err
	} else if hold && !follows {
		b.head.held = append(b.head.held, extremityOf(r))
	} else {
		extremities = b.addExtremity(extremities, r, follows)
	}
	return b.setExtremities(extremities)
}

// holds says whether an accepted event is held back.
func (b *batch) holds(id ident.EventID) (bool, error) {
	if !b.fetched[id] || len(b.head.held) >= maxHeld {
		return false, nil
	}
	return b.awaited(id)
}

// letGo makes extremities of events that were held back for one that was then not accepted, or given up, unless they are held for others.
func (b *batch) letGo(refused *record) error {
	if len(b.head.held) == 0 {
		return nil
	}
	parents, err := b.superseded(refused.event)
	if err != nil {
		return err
	}
	extremities, held := slices.Clone(b.head.extremities), []*extremity(nil)
	for _, x := range b.head.held {
		id := x.record.event.ID()
		awaited, err := b.awaited(id)
		if err != nil {
			return err
		}
		if parents[id] && !awaited {
			extremities = b.addExtremity(extremities, x.record, false)
		} else {
			held = append(held, x)
		}
	}
	if len(held) == len(b.head.held) {
		return nil
	}
	b.head.held = held
	return b.setExtremities(extremities)
}

func (b *batch) setExtremities(extremities []*extremity) error {
	forked := len(b.head.extremities) > 1 || len(extremities) > 1
	b.head.extremities = extremities
	current, err := b.resolve(statesAfter(extremities))
	if err != nil {
		return err
	}
	before := b.head.current
	b.head.current = current
	if forked && before != current {
		return b.watch(before)
	}
	return nil
}

func statesAfter(extremities []*extremity) []state.Root {
	roots := make([]state.Root, len(extremities))
	for i, x := range extremities {
		roots[i] = x.record.after
	}
	return roots
}

// awaited says whether a quarantined event names id as its parent.
func (b *batch) awaited(id ident.EventID) (bool, error) {
	waiters, err := b.waitersOf(id)
	for _, s := range waiters {
		r, err := b.stored(s.ID)
		if err != nil {
			return false, err
		}
		if slices.Contains(r.event.PrevEvents(), id) {
			return true, nil
		}
	}
	return false, err
}

// superseded is the parents of an event, and where a parent was rejected or has soft-failed, the parents of that: such events
// are no extremities, so what they follow must not stay one for their sake (P-06).
func (b *batch) superseded(e *event.Event) (map[ident.EventID]bool, error) {
	seen := map[ident.EventID]bool{}
	pending := slices.Clone(e.PrevEvents())
	for len(pending) > 0 && len(seen) < maxEdges {
		id := pending[0]
		pending = pending[1:]
		if seen[id] {
			continue
		}
		seen[id] = true
		r, err := b.record(id)
		if err != nil {
			return nil, err
		}
		if r != nil && (r.outcome == Rejected || r.outcome == SoftFailed) {
			pending = append(pending, r.event.PrevEvents()...)
		}
	}
	return seen, nil
}

// countMembers brings the number of members of each server up to the current state. Its cost is that of what has changed since
// it last ran.
func (b *batch) countMembers() error {
	changes, err := state.Diff(b, b.counted, b.head.current)
	if err != nil {
		return err
	}
	servers := maps.Clone(b.head.servers)
	if servers == nil {
		servers = map[ident.ServerName]int{}
	}
	for _, c := range changes {
		if c.Key.Type != memberType {
			continue
		}
		before, err := b.joined(c.A)
		if err != nil {
			return err
		}
		after, err := b.joined(c.B)
		if err != nil {
			return err
		}
		name := ident.UserID(c.Key.Key).Server()
		if before == after {
			continue
		}
		if servers[name] += after - before; servers[name] <= 0 {
			delete(servers, name)
		}
		b.moved[name] = true
		if name == b.e.self {
			b.housed[ident.UserID(c.Key.Key)] = after > 0
		}
	}
	b.head.servers, b.counted = servers, b.head.current
	return nil
}

// joined is 1 for a join, else 0.
func (b *batch) joined(id ident.EventID) (int, error) {
	if id == "" {
		return 0, nil
	}
	r, err := b.stored(id)
	if err != nil {
		return 0, err
	}
	if member, ok := r.event.Membership(); ok && member.Membership == "join" {
		return 1, nil
	}
	return 0, nil
}

// finish settles what depends on the state that the whole batch ends with: when the last user of this server has gone, so has
// the room.
func (b *batch) finish() error {
	if b.broken != nil || b.head.current == b.counted {
		return b.broken
	}
	if err := b.countMembers(); err != nil {
		return err
	}
	self := b.e.self
	if b.was != nil && b.was.servers[self] > 0 && b.head.servers[self] == 0 && b.head.membership == Joined {
		b.head.membership = Left
	}
	return nil
}
