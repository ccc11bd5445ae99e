// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// adoptHistory places a piece of history in the graph, the oldest events first: those at its edge on the states that were given, whose
// missing parents become gaps, the others on those after their parents. An event that rests on something missing, or
// follows one that was not placed, is left out.
func (b *batch) adoptHistory(c *chunk, states map[ident.EventID]*givenState) (placed int, depth int64, err error) {
	if err := b.mustBeJoined(); err != nil {
		return 0, 0, err
	}
	roots := map[ident.EventID]state.Root{}
	for id, given := range states {
		if roots[id], err = b.adoptGiven(given); err != nil {
			return 0, 0, err
		}
	}
	list := make([]*record, 0, len(c.events))
	for _, x := range c.events {
		list = append(list, &record{event: x, redacted: x.HashMismatch()})
	}
	staging := persistence.Staging{Origin: c.from, Arrival: int(arrivedFromBackfill), ReceivedAt: b.now.UnixMilli()}
	for _, r := range oldestFirst(list) {
		root, given := roots[r.event.ID()]
		own, err := b.placeHistory(r, root, given, staging)
		if err != nil {
			return 0, 0, err
		}
		if own == nil {
			continue
		}
		if placed++; depth == 0 || own.event.Depth() < depth {
			depth = own.event.Depth()
		}
	}
	return placed, depth, nil
}

// placeHistory places one event, and gives nil if that cannot be done.
func (b *batch) placeHistory(r *record, root state.Root, given bool, s persistence.Staging) (*record, error) {
	if stored, err := b.record(r.event.ID()); err != nil {
		return nil, err
	} else if stored != nil {
		r = stored
	}
	if r.inGraph {
		return nil, nil
	}
	missing, _, err := b.missing(r, given)
	if err != nil || len(missing) > 0 {
		return nil, err
	}
	var before state.Root
	if given {
		before, err = b.withKnownParents(r, root)
	} else {
		before, err = b.stateBefore(r.event)
	}
	if err != nil {
		return nil, err
	}
	own, first := b.change(r), !r.known()
	own.past = history
	v := b.newVerdict(own, s)
	if err := b.judgeOn(own, before, &v); err != nil {
		return nil, err
	}
	if first {
		b.cite(own)
	}
	if given {
		if err := b.openGaps(own.event); err != nil {
			return nil, err
		}
	}
	if err := b.explain(own, &v); err != nil {
		return nil, err
	}
	staged := own.nid != 0 // on another way, and may have a record that says so
	b.settled[own.event.ID()] = judged{verdict: v, waited: staged}
	if staged {
		b.unstaged = append(b.unstaged, unstaging{own.nid, true})
	}
	return own, b.place(own)
}
