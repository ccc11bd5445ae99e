// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// StateQuery selects a room's state: the current one, or that at one of its events.
type StateQuery struct {
	RoomID  string   `json:"room_id"`
	EventID string   `json:"event_id,omitempty"` // "" for the current state
	After   bool     `json:"after,omitempty"`    // the state after the event; otherwise before it
	Types   []string `json:"types,omitempty"`    // none for all
	Key     *string  `json:"state_key,omitempty"`
}

// State gives a room's state by type and state key, without PDUs. The state at any event is known as soon as its place in the
// graph is: nothing has to be replayed.
func (i *Inspector) State(ctx context.Context, q StateQuery) ([]Event, error) {
	row, err := i.room(ctx, q.RoomID)
	if err != nil {
		return nil, err
	}
	root := rootOf(row.State)
	if q.EventID != "" {
		if root, err = i.rootAt(ctx, row, q); err != nil {
			return nil, err
		}
	} else if q.After {
		return nil, badQuery{errors.New("after what event?")}
	}
	list, err := i.stateOf(ctx, root, func(slot event.StateKey) bool {
		return (len(q.Types) == 0 || slices.Contains(q.Types, slot.Type)) && (q.Key == nil || slot.Key == *q.Key)
	})
	if err != nil {
		return nil, fmt.Errorf("state of %s: %w", q.RoomID, err)
	}
	return list, nil
}

// rootAt is the state at an event of the room.
func (i *Inspector) rootAt(ctx context.Context, row persistence.Room, q StateQuery) (state.Root, error) {
	if _, err := ident.ParseEventID(q.EventID); err != nil {
		return state.Root{}, badQuery{err}
	}
	stored, found, err := i.event(ctx, ident.EventID(q.EventID))
	switch {
	case err != nil:
		return state.Root{}, err
	case !found || stored.RoomNID != row.NID:
		return state.Root{}, fmt.Errorf("event %s of room %s: %w", q.EventID, q.RoomID, ErrNotFound)
	case stored.Before == nil:
		return state.Root{}, fmt.Errorf("state at %s, whose place in the graph is not known: %w", q.EventID, ErrNotFound)
	case q.After:
		return rootOf(stored.After), nil
	}
	return rootOf(stored.Before), nil
}

func rootOf(stored []byte) (root state.Root) {
	copy(root[:], stored)
	return root
}

// stateOf reads the slots of a state that are wanted, sorted by type and key.
func (i *Inspector) stateOf(ctx context.Context, root state.Root, wanted func(event.StateKey) bool) ([]Event, error) {
	slots, err := state.All(nodes{ctx, i}, root)
	if err != nil {
		return nil, err
	}
	if wanted != nil {
		maps.DeleteFunc(slots, func(slot event.StateKey, _ ident.EventID) bool { return !wanted(slot) })
	}
	list := make([]Event, 0, len(slots))
	for id := range maps.Values(slots) {
		stored, found, err := i.event(ctx, id)
		if err == nil && !found {
			err = fmt.Errorf("%w: %s of the state is not stored", persistence.ErrCorrupt, id)
		}
		if err != nil {
			return nil, err
		}
		e, err := eventOf(stored)
		if err != nil {
			return nil, err
		}
		if e.StateKey == nil {
			return nil, fmt.Errorf("%w: %s of the state has no state key", persistence.ErrCorrupt, id)
		}
		e.PDU = nil
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Event) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(*a.StateKey, *b.StateKey))
	})
	return list, nil
}
