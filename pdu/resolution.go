// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"bytes"
	"fmt"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/resolve"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/transport/ident"
)

// resolve makes one state of several. Its cost is that of what differs between them.
func (b *batch) resolve(roots []state.Root) (state.Root, error) {
	roots = slices.Clone(roots)
	slices.SortFunc(roots, func(x, y state.Root) int { return bytes.Compare(x[:], y[:]) })
	roots = slices.Compact(roots)
	switch len(roots) {
	case 0:
		return state.Root{}, nil
	case 1:
		return roots[0], nil
	}
	sets, err := b.conflicts(roots)
	if err != nil {
		return state.Root{}, err
	}
	create, err := b.create()
	if err != nil {
		return state.Root{}, err
	}
	var lookup error
	unconflicted := func(slot event.StateKey) (ident.EventID, bool) {
		id, ok, err := state.Get(b, roots[0], slot)
		if err != nil && lookup == nil {
			lookup = err
		}
		return id, ok
	}
	resolution, err := resolve.ResolveConflicts(b.head.version, create, unconflicted, sets, source{b})
	if err == nil {
		err = lookup
	}
	if err != nil {
		return state.Root{}, err
	}
	changes := maps.Clone(resolution.State)
	for _, set := range sets {
		for slot := range set {
			if _, ok := changes[slot]; !ok {
				changes[slot] = "" // empty in the resolved state
			}
		}
	}
	return b.setState(roots[0], changes)
}

// conflicts gives for each state the events in the slots in which not all are alike.
func (b *batch) conflicts(roots []state.Root) ([]resolve.StateMap, error) {
	slots := map[event.StateKey]bool{}
	for _, root := range roots[1:] {
		changes, err := state.Diff(b, roots[0], root)
		if err != nil {
			return nil, fmt.Errorf("compare states: %w", err)
		}
		for _, c := range changes {
			slots[c.Key] = true
		}
	}
	sets := make([]resolve.StateMap, len(roots))
	for i, root := range roots {
		sets[i] = resolve.StateMap{}
		for slot := range slots {
			id, ok, err := state.Get(b, root, slot)
			if err != nil {
				return nil, err
			}
			if ok {
				sets[i][slot] = id
			}
		}
	}
	return sets, nil
}

func (b *batch) setState(root state.Root, changes map[event.StateKey]ident.EventID) (state.Root, error) {
	after, nodes, err := state.Set(b, root, changes)
	if err != nil {
		return state.Root{}, fmt.Errorf("change state: %w", err)
	}
	b.addNodes(nodes)
	return after, nil
}

// create is the room's create event, nil as long as it has none.
func (b *batch) create() (*event.Event, error) {
	if b.head.create == "" {
		return nil, nil
	}
	r, err := b.stored(b.head.create)
	if err != nil {
		return nil, fmt.Errorf("create event: %w", err)
	}
	return r.event, nil
}

// stateAt is a state as the authorisation rules ask for it. err is the first failed look-up: the rules' answer counts only
// while it is nil.
type stateAt struct {
	b    *batch
	root state.Root
	err  error
}

// Event implements auth.State.
func (s *stateAt) Event(slot event.StateKey) *event.Event {
	id, ok, err := state.Get(s.b, s.root, slot)
	if err == nil && ok {
		var r *record
		if r, err = s.b.stored(id); err == nil {
			return r.event
		}
	}
	if err != nil && s.err == nil {
		s.err = err
	}
	return nil
}
