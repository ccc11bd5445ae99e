// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Head is an event that nothing in the graph follows: the next event of the room is built on it.
type Head struct {
	Event
	// Held: it was fetched to close a gap, and counts as a forward extremity only when the events that follow it are judged.
	Held bool `json:"held"`
	// Followers is how many quarantined events wait for it.
	Followers int `json:"followers"`
}

// Heads lists a room's forward extremities, the deepest first, and after them what is held back.
func (i *Inspector) Heads(ctx context.Context, room string) ([]Head, error) {
	row, err := i.room(ctx, room)
	if err != nil {
		return nil, err
	}
	list := []Head{}
	err = i.view(ctx, func(tx *persistence.Tx) error {
		for n, nid := range slices.Concat(row.Extremities, row.Held) {
			stored, found, err := tx.EventByNID(nid)
			if err != nil {
				return err
			}
			if !found {
				return fmt.Errorf("%w: extremity %d is not stored", persistence.ErrCorrupt, nid)
			}
			e, err := eventOf(stored)
			if err != nil {
				return err
			}
			waiters, err := tx.WaitersOf(stored.ID)
			if err != nil {
				return err
			}
			e.PDU = nil
			list = append(list, Head{Event: e, Held: n >= len(row.Extremities), Followers: len(waiters)})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("heads of %s: %w", room, err)
	}
	deepest := func(a, b Head) int { return cmp.Compare(b.Depth, a.Depth) }
	slices.SortStableFunc(list[:len(row.Extremities)], deepest)
	slices.SortStableFunc(list[len(row.Extremities):], deepest)
	return list, nil
}

// Gaps is what a room's graph lacks here.
type Gaps struct {
	// History is events that the graph references and that are not in it: what came before this server took part, or was
	// never handed over. Backfill asks for them.
	History []ident.EventID `json:"history"`
	// Quarantined is events that wait for others, those first that are sought next.
	Quarantined []Quarantined `json:"quarantined"`
}

// Quarantined is an event that is not judged, as events that it references are missing.
type Quarantined struct {
	EventID  string          `json:"event_id"`
	Peer     string          `json:"peer"` // who handed it over
	Received int64           `json:"ts"`
	Waits    []ident.EventID `json:"waits"`
	Attempts int             `json:"attempts"` // searches for what it waits for
	NextTry  int64           `json:"next_try_ts,omitempty"`
	Note     string          `json:"note,omitempty"` // how the last search ended
}

// Gaps lists what is missing of a room, with at most limit quarantined events.
func (i *Inspector) Gaps(ctx context.Context, room string, limit int) (Gaps, error) {
	row, err := i.room(ctx, room)
	if err != nil {
		return Gaps{}, err
	}
	g := Gaps{History: []ident.EventID{}, Quarantined: []Quarantined{}}
	err = i.view(ctx, func(tx *persistence.Tx) error {
		missing, err := tx.Gaps(row.NID)
		if err != nil {
			return err
		}
		g.History = append(g.History, missing...)
		slices.Sort(g.History)
		waiting, err := tx.QuarantineOf(row.NID, clampLimit(limit))
		if err != nil {
			return err
		}
		for _, s := range waiting {
			q := Quarantined{
				EventID: string(s.ID), Peer: string(s.Origin), Received: s.ReceivedAt, Waits: []ident.EventID{}, Attempts: s.Attempts,
				NextTry: s.RetryAt, Note: s.Note,
			}
			awaited, err := tx.Awaited(s.Event)
			if err != nil {
				return err
			}
			for _, m := range awaited {
				q.Waits = append(q.Waits, m.ID)
			}
			g.Quarantined = append(g.Quarantined, q)
		}
		return nil
	})
	if err != nil {
		return Gaps{}, fmt.Errorf("gaps of %s: %w", room, err)
	}
	return g, nil
}
