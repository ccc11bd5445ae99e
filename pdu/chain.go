// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"unique"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/transport/ident"
)

// errIncompleteChain is wrapped by errors about an auth chain that cannot be given whole: one cut short would be taken for all there
// is (P-87), so none is given.
var errIncompleteChain = errors.New("the auth chain is not complete here")

// StateIDsAt is the state before an event by slot. ErrUnknownEvent when the event, or its place in the graph, is not known.
func (e *Engine) StateIDsAt(ctx context.Context, id ident.EventID) (map[event.StateKey]ident.EventID, error) {
	r, err := e.storedRecord(ctx, id)
	if err != nil {
		return nil, err
	}
	if !r.inGraph {
		return nil, fmt.Errorf("state at %s: %w", id, ErrUnknownEvent)
	}
	return e.stateIDs(ctx, r.before)
}

// AuthChain is the events that an event rests on, all the way down, each once and sorted by id. ErrUnknownEvent.
func (e *Engine) AuthChain(ctx context.Context, id ident.EventID) ([]ident.EventID, error) {
	chain, err := e.authChain(ctx, []ident.EventID{id}, nil)
	slices.Sort(chain)
	return chain, err
}

func (e *Engine) stateIDs(ctx context.Context, root state.Root) (map[event.StateKey]ident.EventID, error) {
	all, err := state.All(storedNodes{ctx, e}, root)
	if err != nil {
		return nil, fmt.Errorf("read state: %w", err)
	}
	return all, nil
}

// stateAndChain is the events of a state and all that they rest on, by id. Chains of states are kept: servers that lack the same
// event ask about it one after another.
func (e *Engine) stateAndChain(ctx context.Context, root state.Root) (ids, chain []ident.EventID, err error) {
	all, err := e.stateIDs(ctx, root)
	if err != nil {
		return nil, nil, err
	}
	ids = slices.AppendSeq(make([]ident.EventID, 0, len(all)), maps.Values(all))
	if chain, ok := e.cache.chain(root); ok {
		return ids, chain, nil
	}
	if chain, err = e.authChain(ctx, ids, nil); err != nil {
		return nil, nil, err
	}
	e.cache.putChain(root, chain)
	return ids, chain, nil
}

// authChain is the events that the given ones rest on, all the way down, each once, after those that are known to be among them with
// all that these rest on. A given event is in it only if another rests on it.
//
// It walks over references alone. Those of an event never change, so the memory keeps them, and only what was not walked over
// lately is read.
func (e *Engine) authChain(ctx context.Context, from, known []ident.EventID) ([]ident.EventID, error) {
	seen := make(map[eventRef]struct{}, len(from)+len(known))
	for _, id := range known {
		seen[unique.Make(id)] = struct{}{}
	}
	chain := append(make([]ident.EventID, 0, len(known)), known...)
	level := make([]eventRef, len(from))
	for i, id := range from {
		level[i] = unique.Make(id)
	}
	for len(level) > 0 {
		var next []eventRef
		for chunk := range slices.Chunk(level, loadChunk) {
			lists, err := e.authEventsOf(ctx, chunk)
			if err != nil {
				return nil, err
			}
			for _, list := range lists {
				for _, ref := range list {
					if _, ok := seen[ref]; !ok {
						seen[ref] = struct{}{}
						chain, next = append(chain, ref.Value()), append(next, ref)
					}
				}
			}
		}
		if len(chain) > maxAuthChain {
			return nil, fmt.Errorf("%w: it has more than %d events", errIncompleteChain, maxAuthChain)
		}
		level = next
	}
	return chain, nil
}

// eventRef is an event id that is in memory once, however many events refer to it.
type eventRef = unique.Handle[ident.EventID]

// authEventsOf is the auth events of each of the given events.
func (e *Engine) authEventsOf(ctx context.Context, refs []eventRef) ([][]eventRef, error) {
	lists, missing := e.cache.authEvents(refs)
	if len(missing) == 0 {
		return lists, nil
	}
	found, err := e.readAuthEvents(ctx, missing)
	if err != nil {
		return nil, fmt.Errorf("read auth chain: %w", err)
	}
	for i, ref := range refs {
		if lists[i] != nil {
			continue
		}
		ids, ok := found[ref.Value()]
		if !ok {
			return nil, fmt.Errorf("%w: event %s is not stored: %w", errIncompleteChain, ref.Value(), ErrUnknownEvent)
		}
		lists[i] = make([]eventRef, len(ids))
		for j, id := range ids {
			lists[i][j] = unique.Make(id)
		}
	}
	e.cache.putAuthEvents(refs, lists)
	return lists, nil
}

// readAuthEvents finds the auth events of those events that are in the memory or stored.
func (e *Engine) readAuthEvents(ctx context.Context, ids []ident.EventID) (map[ident.EventID][]ident.EventID, error) {
	found := make(map[ident.EventID][]ident.EventID, len(ids))
	var missing []ident.EventID
	for _, id := range ids {
		if r, ok := e.cache.record(id); ok {
			found[id] = r.event.AuthEvents()
		} else {
			missing = append(missing, id)
		}
	}
	rows, err := e.readRows(ctx, missing)
	for _, row := range rows {
		r, err := recordOf(row)
		if err != nil {
			return nil, err
		}
		found[row.ID] = r.event.AuthEvents()
	}
	return found, err
}
