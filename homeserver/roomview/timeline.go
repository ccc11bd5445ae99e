// SPDX-License-Identifier: Apache-2.0

package roomview

import (
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
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
func (v *View) Tail(ctx context.Context, room int64, after, through persistence.Position, limit int,
	choose Chooser,
) (t Tail, err error) {
	before := through + 1
	for looked := 0; ; {
		n := min(limit+1, timelineChunk)
		if looked > 0 {
			n = timelineChunk
		}
		rows, marks, err := v.chunk(ctx, room, after, before, n)
		if err != nil {
			return Tail{}, fmt.Errorf("timeline of room %d: %w", room, err)
		}
		looked += len(rows)
		if full, err := v.take(ctx, &t, rows, marks, limit, choose); err != nil || full {
			return t.turned(), err
		}
		if len(rows) < n {
			return t.turned(), nil
		}
		if looked >= maxLooked {
			t.Limited = true
			return t.turned(), nil
		}
		before = rows[len(rows)-1].Position
	}
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

// take adds what passes to a tail, newest first; full says that no more belongs to it.
func (v *View) take(ctx context.Context, t *Tail, rows []persistence.Event, marks []persistence.RoomState, limit int,
	choose Chooser,
) (full bool, err error) {
	for _, row := range rows {
		placed, err := v.engine.PlacedOf(row)
		if err != nil {
			return false, err
		}
		choice, err := choose(ctx, &placed)
		if err != nil {
			return false, err
		}
		if choice == Stop || choice == Take && len(t.Events) == limit {
			t.Limited = true
			return true, nil
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
		if choice == Take {
			t.Events = append(t.Events, &placed)
		}
		if gap {
			t.Limited = true
			return true, nil
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
