// SPDX-License-Identifier: Apache-2.0

package roomview

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
)

// The order of a room's events for who pages through it is that of their arrival. History has no place in that: it stands before the
// event that arrived without it, by depth.
//
//	position            7 ── 8 ── ⟨history, by depth⟩ ── 9 (a gap before it) ── 10
//	tokens     t1.7 ──┘                 └─ t40.9.123    └─ t52.9             └─ 11
//
// Where several events have gaps before them, each has the history that is below it in depth, but not below the one before.

// Page is events of a room in the order in which somebody pages through it.
type Page struct {
	Events []*pdu.Placed
	End    Token
	More   bool // there may be more after End
	// Missing says that what is before End has to be fetched: the page ends there, and a next one goes over it.
	Missing bool
}

// PageQuery asks for a page.
type PageQuery struct {
	Room    int64
	From    Token
	To      persistence.Position // where to end: no event at or before it when paging back, none after it when paging forward
	Forward bool
	Limit   int
	// OverGaps goes over what is missing, as who has tried to fetch it does.
	OverGaps bool
	Choose   Chooser
}

// String is the token as clients have it.
func (t Token) String() string {
	switch {
	case t.History:
		return fmt.Sprintf("t%d.%d.%d", t.Depth, t.Position, t.NID)
	case t.Before:
		return fmt.Sprintf("t%d.%d", t.Depth, t.Position+1)
	}
	return strconv.FormatInt(int64(t.Position)+1, 10)
}

// pager goes through a room. It belongs to one request.
type pager struct {
	v      *View
	q      PageQuery
	page   Page
	looked int
}

// Page pages through a room.
func (v *View) Page(ctx context.Context, q PageQuery) (Page, error) {
	p := &pager{v: v, q: q, page: Page{End: q.From, More: true}}
	for p.page.More && !p.page.Missing && len(p.page.Events) < q.Limit && p.looked < maxLooked {
		if err := p.step(ctx); err != nil {
			return Page{}, fmt.Errorf("page through room %d: %w", q.Room, err)
		}
	}
	return p.page, nil
}

// step goes on by a chunk: of history, or of the timeline.
func (p *pager) step(ctx context.Context) error {
	at := p.page.End
	if !p.q.Forward && (at.History || at.Before) || p.q.Forward && at.History {
		return p.history(ctx, at)
	}
	return p.timeline(ctx, at)
}

// timeline takes events in the order of arrival, up to the next that has history before it.
func (p *pager) timeline(ctx context.Context, at Token) error {
	var rows []persistence.Event
	gaps := map[persistence.Position]bool{}
	err := p.v.store.View(ctx, func(tx *persistence.Tx) (err error) {
		if p.q.Forward {
			rows, err = tx.RoomTimeline(p.q.Room, at.Position, p.q.To+1, true, timelineChunk)
		} else {
			rows, err = tx.RoomTimeline(p.q.Room, p.q.To, at.Position+1, false, timelineChunk)
		}
		if err != nil {
			return err
		}
		for _, row := range rows {
			s, _, err := tx.RoomStateAt(p.q.Room, row.Position)
			if err != nil {
				return err
			}
			gaps[row.Position] = s.Gap && s.Position == row.Position
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, row := range rows {
		placed, err := p.v.engine.PlacedOf(row)
		if err != nil {
			return err
		}
		before := Token{Position: row.Position - 1, Depth: placed.Event.Depth(), Before: true}
		if p.q.Forward && gaps[row.Position] && p.page.End != before {
			p.page.End = Token{Position: row.Position, History: true, Depth: 0}
			return nil
		}
		after := Token{Position: row.Position}
		if !p.q.Forward {
			after = before
		}
		if err := p.take(ctx, &placed, after); err != nil || len(p.page.Events) == p.q.Limit {
			return err
		}
		if !p.q.Forward && gaps[row.Position] {
			return nil
		}
	}
	p.page.More = len(rows) == timelineChunk
	return nil
}

// history takes events that stand before the one at a token.
func (p *pager) history(ctx context.Context, at Token) error {
	if at.Before {
		at.Position++
	}
	var rows []persistence.Event
	missing := false
	err := p.v.store.View(ctx, func(tx *persistence.Tx) error {
		low, high, found, err := p.stretch(tx, at.Position)
		if err != nil || !found {
			return err
		}
		if !p.q.Forward && !p.q.OverGaps {
			floor, open, err := openGap(tx, p.q.Room, at.Depth)
			if err != nil {
				return err
			}
			if missing = open && floor >= low; missing {
				low = floor
			}
		}
		from, to := persistence.HistoryPlace{Depth: low}, persistence.HistoryPlace{Depth: at.Depth, NID: at.NID}
		if p.q.Forward {
			from, to = persistence.HistoryPlace{Depth: max(low, at.Depth), NID: at.NID}, persistence.HistoryPlace{Depth: high}
		}
		rows, err = tx.RoomHistory(p.q.Room, from, to, p.q.Forward, timelineChunk)
		return err
	})
	if err != nil {
		return err
	}
	for _, row := range rows {
		placed, err := p.v.engine.PlacedOf(row)
		if err != nil {
			return err
		}
		end := Token{Position: at.Position, History: true, Depth: placed.Event.Depth(), NID: row.NID}
		if p.q.Forward {
			end.NID++
		}
		if err := p.take(ctx, &placed, end); err != nil || len(p.page.Events) == p.q.Limit {
			return err
		}
	}
	switch {
	case len(rows) == timelineChunk:
	case missing:
		p.page.Missing = true
	case p.q.Forward:
		return p.arrive(ctx, at.Position)
	default:
		p.page.End = Token{Position: at.Position - 1}
	}
	return nil
}

// openGap is the depth of the deepest event, at a depth or below, that follows something which is not here: what is below it comes after
// what is missing. Of many gaps those are looked at that are asked for next.
func openGap(tx *persistence.Tx, room, below int64) (depth int64, open bool, err error) {
	gaps, err := tx.Gaps(room, maxOpenGaps)
	for _, gap := range gaps {
		if gap.Depth <= below {
			depth, open = max(depth, gap.Depth), true
		}
	}
	return depth, open, err
}

// stretch is the depths of the history that stands before an event at a position: from those of the event with a gap before it, or from
// the least, and below its own; found is false of an event that has no gap before it.
func (p *pager) stretch(tx *persistence.Tx, at persistence.Position) (low, high int64, found bool, err error) {
	gaps, err := tx.GapsThrough(p.q.Room, at, 2)
	if err != nil || len(gaps) == 0 || gaps[0] != at {
		return 0, 0, false, err
	}
	depths := []int64{0, 0}
	for i, gap := range gaps {
		rows, err := tx.RoomTimeline(p.q.Room, gap-1, gap+1, true, 1)
		if err != nil || len(rows) == 0 {
			return 0, 0, false, err
		}
		placed, err := p.v.engine.PlacedOf(rows[0])
		if err != nil {
			return 0, 0, false, err
		}
		depths[i] = placed.Event.Depth()
	}
	return depths[1], depths[0], true, nil
}

// arrive comes from an event's history to the event.
func (p *pager) arrive(ctx context.Context, at persistence.Position) error {
	var rows []persistence.Event
	err := p.v.store.View(ctx, func(tx *persistence.Tx) (err error) {
		rows, err = tx.RoomTimeline(p.q.Room, at-1, at+1, true, 1)
		return err
	})
	if err != nil || len(rows) == 0 {
		p.page.More = false
		return err
	}
	placed, err := p.v.engine.PlacedOf(rows[0])
	if err != nil {
		return err
	}
	return p.take(ctx, &placed, Token{Position: at})
}

// take adds an event to the page if it is chosen; the page then ends behind it in any case.
func (p *pager) take(ctx context.Context, placed *pdu.Placed, end Token) error {
	choice, err := p.q.Choose(ctx, placed)
	if err != nil {
		return err
	}
	p.looked++
	p.page.End = end
	if choice == Take {
		p.page.Events = append(p.page.Events, placed)
	}
	return nil
}

// Around is up to limit events before an event in the order of a room, nearest first, or after it if forward.
func (v *View) Around(ctx context.Context, p *pdu.Placed, last persistence.Position, forward bool, limit int, choose Chooser) (Page, error) {
	at, err := v.placeOf(ctx, p)
	if err != nil {
		return Page{}, err
	}
	q := PageQuery{Room: p.RoomNID, From: at, Forward: forward, Limit: limit, Choose: choose}
	if forward {
		q.To = last
		skip := p.Event.ID()
		q.Choose = func(ctx context.Context, p *pdu.Placed) (Choice, error) {
			if p.Event.ID() == skip {
				return Skip, nil
			}
			return choose(ctx, p)
		}
	}
	if limit == 0 {
		return Page{End: at, More: true}, nil
	}
	return v.Page(ctx, q)
}

// placeOf is the place before an event.
func (v *View) placeOf(ctx context.Context, p *pdu.Placed) (at Token, err error) {
	if p.Position != 0 {
		return Token{Position: p.Position - 1, Depth: p.Event.Depth(), Before: true}, nil
	}
	err = v.store.View(ctx, func(tx *persistence.Tx) error {
		row, _, err := tx.Event(p.Event.ID())
		if err != nil {
			return err
		}
		gaps, err := tx.GapsThrough(p.RoomNID, math.MaxInt64, maxGaps)
		if err != nil {
			return err
		}
		at = Token{History: true, Depth: p.Event.Depth(), NID: row.NID}
		for _, gap := range slices.Backward(gaps) { // the first that is deeper has it among its history
			rows, err := tx.RoomTimeline(p.RoomNID, gap-1, gap+1, true, 1)
			if err != nil || len(rows) == 0 {
				return err
			}
			if placed, err := v.engine.PlacedOf(rows[0]); err != nil || placed.Event.Depth() > at.Depth {
				at.Position = gap
				return err
			}
		}
		return pdu.ErrUnknownEvent
	})
	return at, err
}
