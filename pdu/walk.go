// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"cmp"
	"context"
	"slices"

	"github.com/strata-matrix/strata/transport/ident"
)

// walk goes back through a room's graph, breadth first. It belongs to the request that it is for.
type walk struct {
	e        *Engine
	room     ident.RoomID
	limit    int
	minDepth int64
	seen     map[ident.EventID]bool // or not wanted: the walk does not enter these
	found    []*record
	walked   int
	tooDeep  int
}

// from starts at events that the other server names; with included they are part of the answer. Soft-failed events are given
// only when they are named, or referenced by one that is (P-34); rejected events never are, but what is before them is.
func (w *walk) from(ctx context.Context, named []ident.EventID, included bool) error {
	level := w.unseen(named)
	for steps := 0; len(level) > 0 && len(w.found) < w.limit && w.walked < maxWalked; steps++ {
		var next []ident.EventID
		for chunk := range slices.Chunk(level[:min(len(level), maxWalked-w.walked)], loadChunk) { // a level may be wide, and its events long
			parents, err := w.visit(ctx, chunk, steps, steps > 0 || included)
			if err != nil {
				return err
			}
			if next = append(next, parents...); len(w.found) >= w.limit {
				break
			}
		}
		level = next
	}
	return nil
}

// visit looks at some events that were reached after so many steps, and gives those that come before them.
func (w *walk) visit(ctx context.Context, ids []ident.EventID, steps int, included bool) (parents []ident.EventID, err error) {
	records, err := w.e.records(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		r := records[id]
		if r == nil || r.event.RoomID() != w.room || !r.inGraph || w.shallow(r) {
			continue
		}
		w.walked++
		if included && w.serves(r, steps) {
			w.found = append(w.found, r)
		}
		parents = append(parents, w.unseen(r.event.PrevEvents())...)
	}
	return parents, nil
}

// shallow says that the walk does not go on at an event, since it is below the least depth. A depth is its sender's word, so the
// walk passes a few that claim too small a one, but not all of the room's history.
func (w *walk) shallow(r *record) bool {
	if r.event.Depth() >= w.minDepth {
		return false
	}
	w.tooDeep++
	return w.tooDeep > maxTooDeep
}

// serves says whether an event that was reached after so many steps is part of the answer.
func (w *walk) serves(r *record, steps int) bool {
	if len(w.found) >= w.limit || r.event.Depth() < w.minDepth {
		return false
	}
	return r.outcome == Accepted || r.outcome == SoftFailed && steps <= 1
}

// unseen is those events that were not reached before; from now on they were.
func (w *walk) unseen(ids []ident.EventID) (list []ident.EventID) {
	for _, id := range ids {
		if !w.seen[id] {
			w.seen[id] = true
			list = append(list, id)
		}
	}
	return list
}

// oldestFirst orders the events of an answer so that each comes after those of them that it follows, and else by depth and id.
func oldestFirst(found []*record) []*record {
	rest := make(map[ident.EventID]*record, len(found))
	for _, r := range found {
		rest[r.event.ID()] = r
	}
	sorted := slices.SortedFunc(slices.Values(found), func(x, y *record) int {
		return cmp.Or(cmp.Compare(x.event.Depth(), y.event.Depth()), cmp.Compare(x.event.ID(), y.event.ID()))
	})
	ordered := make([]*record, 0, len(found))
	var place func(r *record) // no deeper than there are events in an answer
	place = func(r *record) {
		delete(rest, r.event.ID())
		for _, id := range r.event.PrevEvents() {
			if parent := rest[id]; parent != nil {
				place(parent)
			}
		}
		ordered = append(ordered, r)
	}
	for _, r := range sorted {
		if rest[r.event.ID()] != nil {
			place(r)
		}
	}
	return ordered
}
