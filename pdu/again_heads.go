// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"maps"
	"slices"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// settleHeads corrects the extremities and the current state after events were judged again: those that fell are none, and what
// they followed may be one; those that rose may be.
func (a *again) settleHeads() error {
	b := a.b
	if err := b.refreshHeads(); err != nil {
		return err
	}
	if len(a.fallen) == 0 && len(a.risen) == 0 {
		return b.setExtremities(b.head.extremities)
	}
	candidates := map[ident.EventID]bool{}
	for _, x := range b.head.extremities {
		candidates[x.record.event.ID()] = true
	}
	for _, id := range a.risen {
		candidates[id] = true
	}
	for _, id := range a.fallen {
		r, err := b.stored(id)
		if err != nil {
			return err
		}
		parents, err := b.superseded(r.event)
		if err != nil {
			return err
		}
		maps.Copy(candidates, parents)
	}
	if err := b.strikeFollowed(candidates); err != nil {
		return err
	}
	var extremities []*extremity
	for _, id := range slices.Sorted(maps.Keys(candidates)) {
		r, err := b.record(id)
		if err != nil {
			return err
		}
		if r != nil && r.inGraph && r.outcome == Accepted && r.past == live && !b.isHeld(id) {
			extremities = append(extremities, extremityOf(r))
		}
	}
	b.head.held = slices.DeleteFunc(b.head.held, func(x *extremity) bool { return x.record.outcome != Accepted })
	return b.setExtremities(extremities)
}

func (b *batch) isHeld(id ident.EventID) bool {
	return slices.ContainsFunc(b.head.held, func(x *extremity) bool { return x.record.event.ID() == id })
}

// strikeFollowed takes out of the candidates what an accepted event follows.
func (b *batch) strikeFollowed(candidates map[ident.EventID]bool) error {
	return b.eachFrom(1, func(r *record) error {
		if !r.inGraph || r.outcome != Accepted || len(candidates) == 0 {
			return nil
		}
		followed, err := b.superseded(r.event)
		for id := range followed {
			delete(candidates, id)
		}
		return err
	})
}

// eachFrom visits the events of the room whose numbers are not smaller than nid, each after those of them that it references. It
// holds no more of them than it reads at a time; visit may change the batch.
func (b *batch) eachFrom(nid int64, visit func(*record) error) error {
	w := &inOrder{b: b, early: map[int64]bool{}, visit: visit}
	for after := nid - 1; ; {
		rows, err := b.loadFrom(after)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			w.at, after = row.NID, row.NID
			if w.early[row.NID] {
				delete(w.early, row.NID)
				continue
			}
			if err := w.take(row.ID); err != nil {
				return err
			}
		}
		clear(b.loaded)
	}
}

// loadFrom reads the next few events of the room with what they reference. Events are staged while the room has its turn: what was
// not stored a moment ago may be now.
func (b *batch) loadFrom(after int64) (rows []persistence.Event, err error) {
	err = b.e.store.View(b.ctx, func(tx *persistence.Tx) (err error) {
		rows, err = tx.RoomEventsFrom(b.head.nid, after, loadChunk)
		return err
	})
	if err != nil {
		return nil, err
	}
	var references []ident.EventID
	for _, row := range rows {
		r, _ := b.have(row.ID)
		if r == nil {
			if r, err = recordOf(row); err != nil {
				return nil, err
			}
			b.loaded[row.ID] = r
		}
		references = append(append(references, r.event.PrevEvents()...), r.event.AuthEvents()...)
	}
	return rows, b.load(references)
}

// inOrder visits events by their numbers, but never one before those that it references.
type inOrder struct {
	b     *batch
	at    int64          // those with smaller numbers have been visited
	early map[int64]bool // and these with greater ones
	visit func(*record) error
}

func (w *inOrder) take(id ident.EventID) error {
	entered := map[ident.EventID]bool{} // references may be circular in room versions 1 and 2
	for pending := []ident.EventID{id}; len(pending) > 0; {
		next := pending[len(pending)-1]
		r, err := w.b.stored(next)
		if err != nil {
			return err
		}
		if !entered[next] {
			entered[next] = true
			ahead, err := w.ahead(r, entered)
			if err != nil {
				return err
			}
			if len(ahead) > 0 {
				pending = append(pending, ahead...)
				continue
			}
		}
		pending = pending[:len(pending)-1]
		if r.nid == 0 || w.early[r.nid] { // 0: it came into the batch before it was staged, with the state
			continue
		}
		if r.nid > w.at {
			w.early[r.nid] = true
		}
		if err := w.visit(r); err != nil {
			return err
		}
	}
	return nil
}

// ahead is what an event references that comes later by its number.
func (w *inOrder) ahead(r *record, entered map[ident.EventID]bool) (list []ident.EventID, err error) {
	for _, references := range [][]ident.EventID{r.event.AuthEvents(), r.event.PrevEvents()} {
		for _, id := range references {
			x, err := w.b.record(id)
			if err != nil {
				return nil, err
			}
			if x != nil && x.room == r.room && x.nid > w.at && !w.early[x.nid] && !entered[id] {
				list = append(list, id)
			}
		}
	}
	return list, nil
}
