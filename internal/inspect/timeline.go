// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// TimelineQuery selects accepted events of a room.
type TimelineQuery struct {
	RoomID string   `json:"room_id"`
	Types  []string `json:"types,omitempty"`  // event types, none for all
	After  int64    `json:"after,omitempty"`  // only events with later positions
	Before int64    `json:"before,omitempty"` // only events with earlier positions, 0 for up to the newest
	Limit  int      `json:"limit,omitempty"`  // 0 for DefaultLimit
}

// Timeline gives the newest accepted events of a room that fit the query, in the order of their positions: that in which
// callbacks get them. It goes back from the room's forward extremities, so that its cost is that of what it passes and not
// that of the file. What came before this server last joined the room is not reached.
func (i *Inspector) Timeline(ctx context.Context, q TimelineQuery) ([]Event, error) {
	row, err := i.room(ctx, q.RoomID)
	if err != nil {
		return nil, err
	}
	w := &walk{i: i, ctx: ctx, room: row.NID, seen: map[ident.EventID]bool{}}
	err = i.view(ctx, func(tx *persistence.Tx) error {
		for _, nid := range row.Extremities {
			stored, found, err := tx.EventByNID(nid)
			if err != nil {
				return err
			}
			if found {
				w.push(stored, stored.Position)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("room %s: %w", q.RoomID, err)
	}
	list := []Event{}
	for limit := clampLimit(q.Limit); len(list) < limit; {
		e, found, err := w.next(q.After)
		if err != nil {
			return nil, fmt.Errorf("timeline of %s: %w", q.RoomID, err)
		}
		if !found {
			break
		}
		if (q.Before == 0 || e.Position < q.Before) && (len(q.Types) == 0 || slices.Contains(q.Types, e.Type)) {
			e.PDU = nil
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(x, y Event) int { return cmp.Compare(x.Position, y.Position) })
	return list, nil
}

// walk goes back through a room's graph from later to earlier positions. An event's parents are judged before it, so their
// positions are smaller, and the greatest position at hand is always the next. Not so a redaction that was held back (P-60): it
// is passed at its child's place. The walk belongs to one call.
type walk struct {
	i    *Inspector
	ctx  context.Context
	room int64
	seen map[ident.EventID]bool
	heap frontier
}

// next gives the next event with a position after a given one.
func (w *walk) next(after int64) (Event, bool, error) {
	for len(w.heap) > 0 && int64(w.heap[0].key) > after {
		at := heap.Pop(&w.heap).(step)
		e, err := eventOf(at.stored)
		if err != nil {
			return Event{}, false, err
		}
		for _, id := range e.PrevEvents {
			if err := w.reach(id, at.key); err != nil {
				return Event{}, false, err
			}
		}
		if e.Position != 0 {
			return e, true, nil
		}
	}
	return Event{}, false, nil
}

// reach adds a parent. One that has no position, as it was soft-failed or rejected, or a later one, is passed through at its child's
// place.
func (w *walk) reach(id ident.EventID, child persistence.Position) error {
	if w.seen[id] {
		return nil
	}
	stored, found, err := w.i.event(w.ctx, id)
	if err != nil {
		return err
	}
	if found && stored.RoomNID == w.room && stored.Before != nil {
		key := stored.Position
		if key == 0 || key > child {
			key = child
		}
		w.push(stored, key)
	}
	return nil
}

func (w *walk) push(stored persistence.Event, key persistence.Position) {
	w.seen[stored.ID] = true
	heap.Push(&w.heap, step{stored, key})
}

// step is an event to be visited; key is where it stands in the order.
type step struct {
	stored persistence.Event
	key    persistence.Position
}

// frontier is a heap of steps, the latest on top.
type frontier []step

func (f frontier) Len() int           { return len(f) }
func (f frontier) Less(a, b int) bool { return f[a].key > f[b].key }
func (f frontier) Swap(a, b int)      { f[a], f[b] = f[b], f[a] }

// Push implements heap.Interface.
func (f *frontier) Push(x any) { *f = append(*f, x.(step)) }

// Pop implements heap.Interface.
func (f *frontier) Pop() any {
	last := (*f)[len(*f)-1]
	*f = (*f)[:len(*f)-1]
	return last
}
