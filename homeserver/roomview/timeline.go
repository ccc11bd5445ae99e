// SPDX-License-Identifier: Apache-2.0

package roomview

import (
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Limits of looking for events that pass a filter.
const (
	// timelineChunk is how many events one job reads: some 20 µs each.
	timelineChunk = 64
	// maxLooked is how many events are looked at for one timeline: beyond it the timeline is cut where it is.
	maxLooked = 2000
	// maxGaps is how many gaps of a room are looked through for the one before which an event of its history stands.
	maxGaps = 1000
	// maxOpenGaps is how many that are still open are looked at for where a page has to end.
	maxOpenGaps = 20
)

// Choice is what becomes of an event on the way back through a timeline.
type Choice int

// The choices.
const (
	Skip Choice = iota // it is not wanted
	Take
	Stop // it is hidden: what is before it does not follow from what is after it
)

// Chooser chooses events.
type Chooser func(ctx context.Context, p *pdu.Placed) (Choice, error)

// Tail is the newest events of a room that pass a filter.
type Tail struct {
	Events  []*pdu.Placed           // oldest first
	Limited bool                    // there are more, or what is before them is missing
	Silent  []persistence.RoomState // changes of state that no event made, from the first event on

	looked int
}

// Start is the position before the first event, that of the state at the start of the timeline; end for a tail without events.
func (t Tail) Start(end persistence.Position) persistence.Position {
	if len(t.Events) == 0 {
		return end
	}
	return t.Events[0].Position - 1
}

// Tail gives up to limit events of a room after a position and through another that are taken, the newest. It does not reach over a
// gap, nor over what is hidden.
func (v *View) Tail(ctx context.Context, room int64, after, through persistence.Position, limit int, choose Chooser) (t Tail, err error) {
	before := through + 1
	for n := min(limit+1, timelineChunk); ; n = timelineChunk {
		rows, marks, err := v.chunk(ctx, room, after, before, n)
		if err != nil {
			return Tail{}, fmt.Errorf("timeline of room %d: %w", room, err)
		}
		full, err := v.take(ctx, &t, rows, marks, limit, choose)
		if err != nil {
			return Tail{}, err
		}
		if full || len(rows) < n {
			return t.turned(), nil
		}
		before = rows[len(rows)-1].Position
	}
}

// TailOf is Tail of events that are at hand, oldest first, in a room whose state nothing but events has changed meanwhile.
func (v *View) TailOf(ctx context.Context, changes []stream.Change, limit int, choose Chooser) (t Tail, err error) {
	for chunk := len(changes); chunk > 0; {
		start := max(0, chunk-max(limit+1, timelineChunk))
		ids := make([]ident.EventID, 0, chunk-start)
		for _, c := range changes[start:chunk] {
			ids = append(ids, c.Event)
		}
		found, err := v.engine.PlacedAll(ctx, ids)
		if err != nil {
			return Tail{}, fmt.Errorf("timeline: %w", err)
		}
		for _, c := range slices.Backward(changes[start:chunk]) {
			placed := found[c.Event]
			if full, err := t.offer(ctx, &placed, c.Gap, limit, choose); err != nil || full {
				return t.turned(), err
			}
		}
		chunk = start
	}
	return t.turned(), nil
}

// offer adds the event before all that the tail has, if it is chosen; full says that no more belongs to it.
func (t *Tail) offer(ctx context.Context, p *pdu.Placed, gap bool, limit int, choose Chooser) (full bool, err error) {
	choice, err := choose(ctx, p)
	if err != nil {
		return false, err
	}
	t.looked++
	if choice == Stop || choice == Take && len(t.Events) == limit || t.looked > maxLooked {
		t.Limited = true
		return true, nil
	}
	if choice == Take {
		t.Events = append(t.Events, p)
	}
	t.Limited = gap
	return gap, nil
}

// chunk reads the newest events between two positions, newest first, with the silent changes and the gaps from the last of them on.
func (v *View) chunk(ctx context.Context, room int64, after, before persistence.Position, n int) (rows []persistence.Event, marks []persistence.RoomState, err error) {
	err = v.store.View(ctx, func(tx *persistence.Tx) (err error) {
		if rows, err = tx.RoomTimeline(room, after, before, false, n); err != nil || len(rows) == 0 {
			return err
		}
		marks, err = tx.RoomStatesBetween(room, rows[len(rows)-1].Position-1, before-1, maxLooked)
		return err
	})
	return rows, marks, err
}

// take offers events to a tail, newest first, with the silent changes between them.
func (v *View) take(ctx context.Context, t *Tail, rows []persistence.Event, marks []persistence.RoomState, limit int,
	choose Chooser,
) (full bool, err error) {
	for _, row := range rows {
		placed, err := v.engine.PlacedOf(row)
		if err != nil {
			return false, err
		}
		gap := false
		for len(marks) > 0 && marks[len(marks)-1].Position >= row.Position {
			mark := marks[len(marks)-1]
			marks = marks[:len(marks)-1]
			if mark.Silent {
				t.Silent = append(t.Silent, mark)
			}
			gap = gap || mark.Gap
		}
		if full, err := t.offer(ctx, &placed, gap, limit, choose); err != nil || full {
			return full, err
		}
	}
	return false, nil
}

// turned is the tail in the order of positions, with those silent changes only that come after its first event.
func (t Tail) turned() Tail {
	slices.Reverse(t.Events)
	slices.Reverse(t.Silent)
	if len(t.Events) == 0 {
		t.Silent = nil
		return t
	}
	first := t.Events[0].Position
	t.Silent = slices.DeleteFunc(t.Silent, func(s persistence.RoomState) bool { return s.Position < first })
	return t
}
