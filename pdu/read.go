// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// readHead gives the head of a room, nil when the room is not stored. With own, the caller has the room's turn, and what was
// read is published.
func (e *Engine) readHead(ctx context.Context, id ident.RoomID, own bool) (*room, error) {
	e.mu.Lock()
	r, ok := e.rooms.get(id)
	e.mu.Unlock()
	if ok {
		return r, nil
	}
	var found bool
	err := e.store.View(ctx, func(tx *persistence.Tx) error {
		row, ok, err := tx.Room(id)
		if found = ok; err != nil || !found {
			return err
		}
		r, err = headOf(tx, row)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read room %s: %w", id, err)
	}
	if !found {
		return nil, nil
	}
	if own {
		e.publish(r)
	}
	return r, nil
}

func (e *Engine) publish(r *room) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rooms.put(r.id, r)
}

func headOf(tx *persistence.Tx, row persistence.Room) (*room, error) {
	version, ok := event.VersionOf(row.Version)
	if !ok {
		return nil, fmt.Errorf("room version %q is not known", row.Version)
	}
	r := &room{
		nid: row.NID, id: row.ID, version: version, membership: Membership(row.Membership), create: row.Create,
	}
	copy(r.current[:], row.State)
	var err error
	if r.extremities, err = extremitiesOf(tx, row.Extremities); err != nil {
		return nil, err
	}
	if r.held, err = extremitiesOf(tx, row.Held); err != nil {
		return nil, err
	}
	gaps, err := tx.Gaps(row.NID, 1)
	if err != nil {
		return nil, err
	}
	r.gapped = len(gaps) > 0
	if r.partial, err = partialOf(tx, row.NID); err != nil {
		return nil, err
	}
	asked, _, err := tx.AskedAgain(row.NID)
	if err != nil {
		return nil, err
	}
	r.again = len(asked) > 0
	if r.withheld, err = tx.HoldsRedactions(row.NID); err != nil {
		return nil, err
	}
	r.servers, err = tx.RoomServers(row.NID)
	return r, err
}

func extremitiesOf(tx *persistence.Tx, nids []int64) (list []*extremity, err error) {
	for _, nid := range nids {
		stored, found, err := tx.EventByNID(nid)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, fmt.Errorf("%w: extremity %d is not stored", persistence.ErrCorrupt, nid)
		}
		r, err := recordOf(stored)
		if err != nil {
			return nil, err
		}
		list = append(list, extremityOf(r))
	}
	return list, nil
}

func extremityOf(r *record) *extremity {
	return &extremity{record: r, ref: r.event.Ref()}
}

// recordOf parses a stored event.
func recordOf(stored persistence.Event) (*record, error) {
	version, ok := event.VersionOf(stored.RoomVersion)
	if !ok {
		return nil, fmt.Errorf("event %s: room version %q is not known", stored.ID, stored.RoomVersion)
	}
	parsed, err := event.ParseStored(version, stored.ID, stored.JSON)
	if err != nil {
		return nil, err
	}
	r := &record{
		nid: stored.NID, room: stored.RoomNID, event: parsed, outcome: Outcome(stored.Outcome), redacted: stored.Redacted, by: stored.RedactedBy,
		past: past(stored.Past), inGraph: stored.Before != nil, position: stored.Position,
	}
	copy(r.before[:], stored.Before)
	copy(r.after[:], stored.After)
	return r, nil
}

// readRows reads events from the store; those that are not stored are left out.
func (e *Engine) readRows(ctx context.Context, ids []ident.EventID) (all []persistence.Event, err error) {
	for chunk := range slices.Chunk(ids, loadChunk) {
		err := e.store.View(ctx, func(tx *persistence.Tx) error {
			rows, err := tx.Events(chunk)
			all = append(all, rows...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
	}
	return all, nil
}

// readRecords is readRows, parsed.
func (e *Engine) readRecords(ctx context.Context, ids []ident.EventID) ([]*record, error) {
	rows, err := e.readRows(ctx, ids)
	if err != nil {
		return nil, err
	}
	found := make([]*record, len(rows))
	for i, row := range rows {
		if found[i], err = recordOf(row); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// records finds events for a reader: in the memory, which it leaves as it is, or in the store. What is not stored is left out.
func (e *Engine) records(ctx context.Context, ids []ident.EventID) (map[ident.EventID]*record, error) {
	all := make(map[ident.EventID]*record, len(ids))
	var missing []ident.EventID
	for _, id := range ids {
		if r, ok := e.cache.record(id); ok {
			all[id] = r
		} else {
			missing = append(missing, id)
		}
	}
	found, err := e.readRecords(ctx, missing)
	for _, r := range found {
		all[r.event.ID()] = r
	}
	return all, err
}

// readNode reads a node of a state tree.
func (e *Engine) readNode(ctx context.Context, hash state.Root) (state.Node, error) {
	if n, ok := e.cache.node(hash); ok {
		return n, nil
	}
	var data []byte
	err := e.store.View(ctx, func(tx *persistence.Tx) error {
		var found bool
		var err error
		if data, found, err = tx.StateNode(hash[:]); err == nil && !found {
			err = fmt.Errorf("%w: state node %x is not stored", persistence.ErrCorrupt, hash[:])
		}
		return err
	})
	if err != nil {
		return state.Node{}, fmt.Errorf("read state: %w", err)
	}
	n, err := state.ReadNode(hash, data)
	if err != nil {
		return state.Node{}, err
	}
	e.cache.putNode(n)
	return n, nil
}

// storedNodes is the nodes as a reader sees them.
type storedNodes struct {
	ctx context.Context
	e   *Engine
}

// Node implements state.Nodes.
func (n storedNodes) Node(hash state.Root) (state.Node, error) { return n.e.readNode(n.ctx, hash) }

func (e *Engine) readCiting(ctx context.Context, id ident.EventID, before int64) (nids []int64, ids []ident.EventID, err error) {
	err = e.store.View(ctx, func(tx *persistence.Tx) (err error) {
		nids, ids, err = tx.Citing(id, before, citingPage)
		return err
	})
	return nids, ids, err
}
