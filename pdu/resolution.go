// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/resolve"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/transport/ident"
)

// resolve makes one state of several. Its cost is that of what differs between them, and that only once: many events on the same
// fork need the same resolution, and so does the current state after each of them.
func (b *batch) resolve(roots []state.Root) (state.Root, error) {
	roots = distinct(roots)
	switch len(roots) {
	case 0:
		return state.Root{}, nil
	case 1:
		return roots[0], nil
	}
	key := b.forkOf(roots)
	if resolved, ok := b.resolved[key]; ok {
		return resolved, nil
	}
	if !b.rejudged {
		if resolved, ok := b.e.cache.resolution(key); ok {
			return resolved, nil
		}
	}
	resolution, sets, err := b.resolution(roots)
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
	resolved, err := b.setState(roots[0], changes)
	if err == nil {
		b.resolved[key] = resolved
	}
	return resolved, err
}

// distinct is the states in an order that does not depend on where they came from, each once.
func distinct(roots []state.Root) []state.Root {
	roots = slices.Clone(roots)
	slices.SortFunc(roots, func(x, y state.Root) int { return bytes.Compare(x[:], y[:]) })
	return slices.Compact(roots)
}

// forkOf names all that a resolution depends on, but for which of the room's events were rejected.
func (b *batch) forkOf(roots []state.Root) [sha256.Size]byte {
	h := sha256.New()
	h.Write([]byte(b.id))
	for _, root := range roots {
		h.Write(root[:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// noteOutcome is told what becomes of an event that was judged before. State resolution looks at whether events were rejected, so
// no resolution from before is good any more where that changes.
func (b *batch) noteOutcome(before, after Outcome) {
	if before != Staged && (before == Rejected) != (after == Rejected) {
		b.rejudged = true
		clear(b.resolved)
	}
}

// redactsState says whether a redaction took something from a state event that a resolution may have looked at: the rules look at
// events as redaction leaves them.
func (b *batch) redactsState() bool {
	return slices.ContainsFunc(b.effects, func(x effect) bool {
		if x.target == nil {
			return false
		}
		_, isState := x.target.event.Slot()
		return isState
	})
}

// keepResolutions hands the turn's resolutions on to later ones. Those that were made before a redaction took effect are not what
// would come out now.
func (b *batch) keepResolutions() {
	if b.redactsState() {
		b.e.cache.putResolutions(nil, true)
		return
	}
	b.e.cache.putResolutions(b.resolved, b.rejudged)
}

// resolution resolves distinct states, and gives what is in conflict between them.
func (b *batch) resolution(roots []state.Root) (resolve.Resolution, []resolve.StateMap, error) {
	sets, err := b.conflicts(roots)
	if err != nil {
		return resolve.Resolution{}, nil, err
	}
	create, err := b.create()
	if err != nil {
		return resolve.Resolution{}, nil, err
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
	return resolution, sets, err
}

// conflicts gives for each state the events in the slots in which not all are alike. It reads no more than what differs from the
// first one.
func (b *batch) conflicts(roots []state.Root) ([]resolve.StateMap, error) {
	differing := make([][]state.Change, len(roots))
	first := map[event.StateKey]ident.EventID{} // of all slots that conflict, "" where the first state has nothing
	for i, root := range roots[1:] {
		changes, err := state.Diff(b, roots[0], root)
		if err != nil {
			return nil, fmt.Errorf("compare states: %w", err)
		}
		differing[i+1] = changes
		for _, c := range changes {
			first[c.Key] = c.A
		}
	}
	sets := make([]resolve.StateMap, len(roots))
	for i := range roots {
		sets[i] = maps.Clone(first)
		for _, c := range differing[i] {
			sets[i][c.Key] = c.B
		}
		maps.DeleteFunc(sets[i], func(_ event.StateKey, id ident.EventID) bool { return id == "" })
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

func newResolutions() *generations[[sha256.Size]byte, state.Root] {
	return newGenerations[[sha256.Size]byte](resolutionCacheWeight, func(state.Root) int { return 1 })
}

func (m *memory) resolution(inputs [sha256.Size]byte) (state.Root, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.resolutions.get(inputs)
}

// putResolutions keeps results whose nodes are stored. afresh says that those from before are no longer good.
func (m *memory) putResolutions(resolved map[[sha256.Size]byte]state.Root, afresh bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if afresh {
		m.resolutions = newResolutions()
	}
	for inputs, root := range resolved {
		m.resolutions.put(inputs, root)
	}
}
