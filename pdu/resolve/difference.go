// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"container/heap"
	"fmt"
	"math/bits"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// reach is a set of state sets, by index: those whose auth chains an event is known to be in.
type reach []uint64

func newReach(sets int) reach { return make(reach, (sets+63)/64) }

func (m reach) add(set int) { m[set/64] |= 1 << (set % 64) }

// merge adds all of other and says whether that changed anything.
func (m reach) merge(other reach) bool {
	changed := false
	for i, word := range other {
		changed = changed || m[i]|word != m[i]
		m[i] |= word
	}
	return changed
}

func (m reach) size() int {
	n := 0
	for _, word := range m {
		n += bits.OnesCount64(word)
	}
	return n
}

// authDifference is the auth difference of the sets (rooms/v2, "Auth difference"; P-73), without the events in conflicted,
// sorted by id. The events of a state count as part of its full auth chain: see the package comment.
//
// It goes in two steps, so that neither whole auth chains nor the unconflicted state have to be read. From the conflicted
// events downwards, deepest first, stopping at what all sets reach, it finds candidates: an event outside of some set's auth
// chain is never below one that is in all of them, so none is missed. From each candidate upwards, along the events that
// cite it, it then looks for state that has the candidate in its auth chain, and drops the candidates that every set reaches.
// Depths are the sender's word: they guide the first step only, and lies in them cost time.
func (r *resolver) authDifference(conflicted map[ident.EventID]bool) ([]ident.EventID, error) {
	candidates, err := r.walkDown()
	if err != nil {
		return nil, err
	}
	// The deepest come first: what is above the others is then known already.
	slices.SortFunc(candidates, func(x, y ident.EventID) int { return cmp.Compare(r.events[y].Depth(), r.events[x].Depth()) })
	var difference []ident.EventID
	a := ascent{r: r, known: make(map[ident.EventID]reach)}
	for _, id := range candidates {
		if conflicted[id] {
			continue
		}
		by, err := a.above(id)
		if err != nil {
			return nil, err
		}
		if by.size() < len(r.sets) {
			difference = append(difference, id)
		}
	}
	slices.Sort(difference)
	return difference, nil
}

// descent is the walk down the auth events of all sets at once.
type descent struct {
	r       *resolver
	reached map[ident.EventID]reach
	pending queue // ranked by depth, deepest first
	queued  map[ident.EventID]bool
}

// walkDown returns the events below the conflicted ones that not all sets were seen to reach.
func (r *resolver) walkDown() ([]ident.EventID, error) {
	d := descent{r: r, reached: make(map[ident.EventID]reach), queued: make(map[ident.EventID]bool)}
	for i, set := range r.sets {
		from := newReach(len(r.sets))
		from.add(i)
		for key, id := range set {
			if _, ok := r.conflicted[key]; !ok {
				continue
			}
			if err := d.expand(id, from); err != nil {
				return nil, err
			}
		}
	}
	for d.pending.Len() > 0 {
		id := heap.Pop(&d.pending).(ranked).id
		d.queued[id] = false
		if d.reached[id].size() == len(r.sets) {
			continue
		}
		if r.isUnconflicted(r.events[id]) { // it is in every state, and so in every chain with all that is below it
			d.reached[id].merge(r.everySet())
		}
		if err := d.expand(id, d.reached[id]); err != nil {
			return nil, err
		}
	}
	var partial []ident.EventID
	for id, by := range d.reached {
		if by.size() < len(r.sets) {
			partial = append(partial, id)
		}
	}
	return partial, nil
}

func (r *resolver) everySet() reach {
	all := newReach(len(r.sets))
	for i := range r.sets {
		all.add(i)
	}
	return all
}

// expand notes that the sets reach the auth events of id.
func (d *descent) expand(id ident.EventID, from reach) error {
	e, err := d.r.event(id)
	if err != nil {
		return err
	}
	for _, a := range e.AuthEvents() {
		if d.reached[a] == nil {
			d.reached[a] = newReach(len(d.r.sets))
		}
		if !d.reached[a].merge(from) || d.queued[a] {
			continue
		}
		ae, err := d.r.event(a)
		if err != nil {
			return fmt.Errorf("auth events of %s: %w", id, err)
		}
		d.queued[a] = true
		heap.Push(&d.pending, ranked{id: a, rank: -ae.Depth()})
	}
	return nil
}

// ascent is the walks up the events that cite each other. Each event is walked over once for all candidates: in a room with long
// chains most of them are above one another.
type ascent struct {
	r     *resolver
	known map[ident.EventID]reach
}

// above is the sets that have an event whose auth chain holds id. It looks no further once these are all.
func (a *ascent) above(id ident.EventID) (reach, error) {
	if by, ok := a.known[id]; ok {
		return by, nil
	}
	by := newReach(len(a.r.sets))
	a.known[id] = by
	var further []ident.EventID
	for citing, err := range a.r.src.Citing(id) {
		if err != nil {
			return nil, fmt.Errorf("events citing %s: %w", id, err)
		}
		e, err := a.r.event(citing)
		if err != nil {
			return nil, fmt.Errorf("events citing %s: %w", id, err)
		}
		if a.r.isUnconflicted(e) {
			by.merge(a.r.everySet())
		}
		if a.r.addHolders(by, e) == len(a.r.sets) {
			return by, nil
		}
		further = append(further, citing)
	}
	for _, citing := range further {
		more, err := a.above(citing)
		if err != nil {
			return nil, err
		}
		if by.merge(more); by.size() == len(a.r.sets) {
			break
		}
	}
	return by, nil
}

// addHolders adds the sets that e is an event of, and returns how many there are now.
func (r *resolver) addHolders(by reach, e *event.Event) int {
	if slot, ok := e.Slot(); ok {
		for i, set := range r.sets {
			if set[slot] == e.ID() {
				by.add(i)
			}
		}
	}
	return by.size()
}

// subgraph is the conflicted state subgraph without the conflicted events themselves, sorted by id: every event on a path of
// auth events from one conflicted event to another (rooms/v12, "Conflicted state subgraph"; P-79). Any event below the
// conflicted ones may lead to one of them, so all of their auth chains are read.
func (r *resolver) subgraph(conflicted map[ident.EventID]bool) ([]ident.EventID, error) {
	citing := make(map[ident.EventID][]ident.EventID)
	seen := make(map[ident.EventID]bool)
	var pending []ident.EventID
	for id := range conflicted {
		seen[id] = true
		pending = append(pending, id)
	}
	upwards := slices.Clone(pending)
	for len(pending) > 0 {
		e, err := r.event(pending[len(pending)-1])
		if err != nil {
			return nil, err
		}
		pending = pending[:len(pending)-1]
		for _, a := range e.AuthEvents() {
			citing[a] = append(citing[a], e.ID())
			if !seen[a] {
				seen[a] = true
				pending = append(pending, a)
			}
		}
	}
	// What was seen is at or below a conflicted event; what is also above one is on a path.
	var between []ident.EventID
	onPath := make(map[ident.EventID]bool)
	for len(upwards) > 0 {
		id := upwards[len(upwards)-1]
		upwards = upwards[:len(upwards)-1]
		for _, c := range citing[id] {
			if conflicted[c] || onPath[c] {
				continue // conflicted events are starting points themselves
			}
			onPath[c] = true
			between = append(between, c)
			upwards = append(upwards, c)
		}
	}
	slices.Sort(between)
	return between, nil
}
