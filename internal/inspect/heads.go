// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/persistence"
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
