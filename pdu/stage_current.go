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
func (b *batch) checkCurrent(r *record) (auth.Result, error) {
	if r.before == b.head.current || len(b.head.extremities) == 0 {
		return auth.Result{OK: true, Rule: "P-29", Detail: "the current state is the state before the event"}, nil
	}
	return b.checkAt(r.event, b.head.current)
}

// advance makes an accepted event a forward extremity in place of its ancestors, and the current state that of the new
// extremities. An event in a gap has a descendant already and becomes none.
func (b *batch) advance(r *record) error {
	id := r.event.ID()
	if b.head.create == "" && r.event.IsState(createSlot) {
		b.head.create = id
	}
	superseded, err := b.superseded(r.event)
	if err != nil {
		return err
	}
	extremities := make([]*extremity, 0, len(b.head.extremities)+1)
	for _, x := range b.head.extremities {
		if !superseded[x.record.event.ID()] {
			extremities = append(extremities, x)
		}
	}
	if !b.closeGap(id) {
		extremities = append(extremities, extremityOf(r))
	}
	b.head.extremities = extremities
	roots := make([]state.Root, len(extremities))
	for i, x := range extremities {
		roots[i] = x.record.after
	}
	current, err := b.resolve(roots)
	if err != nil {
		return err
	}
	return b.setCurrent(current)
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

func (b *batch) closeGap(id ident.EventID) bool {
	i := slices.Index(b.head.gaps, id)
	if i < 0 {
		return false
	}
	b.head.gaps = slices.Delete(slices.Clone(b.head.gaps), i, i+1)
	b.closed = append(b.closed, id)
	return true
}

// setCurrent changes the current state, and with it who is in the room. When the last user of this server has gone, so has
// the room.
func (b *batch) setCurrent(root state.Root) error {
	changes, err := state.Diff(b, b.head.current, root)
	if err != nil {
		return err
	}
	delta := map[ident.ServerName]int{}
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
		if before != after {
			delta[ident.UserID(c.Key.Key).Server()] += after - before
		}
	}
	b.head.current = root
	b.addServers(delta)
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

func (b *batch) addServers(delta map[ident.ServerName]int) {
	servers, present := maps.Clone(b.head.servers), b.head.servers[b.e.self] > 0
	if servers == nil {
		servers = map[ident.ServerName]int{}
	}
	for name, change := range delta {
		if servers[name] += change; servers[name] <= 0 {
			delete(servers, name)
		}
		b.moved[name] = true
	}
	b.head.servers = servers
	if present && servers[b.e.self] == 0 {
		b.head.membership = Left
	}
}
