// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"fmt"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Placed is an event with its place in the graph: the state before it, and after.
type Placed struct {
	Stored
	RoomNID       int64
	Before, After state.Root // zero for an outlier
}

func (r *record) placed() Placed {
	return Placed{
		Stored:  Stored{Event: r.event, RedactedBy: r.by, Outcome: r.outcome, Outlier: !r.inGraph, Position: r.position},
		RoomNID: r.room, Before: r.before, After: r.after,
	}
}

// Placed is one stored event. ErrUnknownEvent.
func (e *Engine) Placed(ctx context.Context, id ident.EventID) (Placed, error) {
	r, err := e.storedRecord(ctx, id)
	if err != nil {
		return Placed{}, err
	}
	return r.placed(), nil
}

// PlacedAll is many stored events by their ids; those that are not stored are left out.
func (e *Engine) PlacedAll(ctx context.Context, ids []ident.EventID) (map[ident.EventID]Placed, error) {
	records, err := e.records(ctx, ids)
	if err != nil {
		return nil, err
	}
	all := make(map[ident.EventID]Placed, len(records))
	for id, r := range records {
		all[id] = r.placed()
	}
	return all, nil
}

// PlacedOf is a row of the store, parsed, or as the memory has it.
func (e *Engine) PlacedOf(row persistence.Event) (Placed, error) {
	if r, ok := e.cache.record(row.ID); ok && r.position == row.Position {
		return r.placed(), nil
	}
	r, err := recordOf(row)
	if err != nil {
		return Placed{}, err
	}
	return r.placed(), nil
}

// StateIn is one slot of a state, "" when it is empty.
func (e *Engine) StateIn(ctx context.Context, root state.Root, slot event.StateKey) (ident.EventID, error) {
	id, _, err := state.Get(storedNodes{ctx, e}, root, slot)
	if err != nil {
		return "", fmt.Errorf("read state: %w", err)
	}
	return id, nil
}

// StateOf is a whole state.
func (e *Engine) StateOf(ctx context.Context, root state.Root) (map[event.StateKey]ident.EventID, error) {
	return e.stateIDs(ctx, root)
}

// MembersOf calls visit with each user that has a membership in a state, and its event, until visit returns false.
func (e *Engine) MembersOf(ctx context.Context, root state.Root, visit func(user ident.UserID, id ident.EventID) bool) error {
	return state.ScanType(storedNodes{ctx, e}, root, memberType, func(key string, id ident.EventID) bool { return visit(ident.UserID(key), id) })
}

// StateChanges is what two states differ in. Its cost is that of the difference.
func (e *Engine) StateChanges(ctx context.Context, from, to state.Root) ([]state.Change, error) {
	changes, err := state.Diff(storedNodes{ctx, e}, from, to)
	if err != nil {
		return nil, fmt.Errorf("compare states: %w", err)
	}
	return changes, nil
}

// StateAsOf is the state of a room, by its number, as of a position: zero before the first.
func StateAsOf(tx *persistence.Tx, room int64, at persistence.Position) (root state.Root, err error) {
	row, _, err := tx.RoomStateAt(room, at)
	copy(root[:], row.Root)
	return root, err
}
