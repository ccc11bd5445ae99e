// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// resolveV2 is the algorithm of room versions 2 to 11 (rooms/v2, "Algorithm"; P-72 to P-77) and, with the two changes of
// rooms/v12, "State resolution" (P-79), that of room version 12. Step 5 is in ResolveConflicts.
func (r *resolver) resolveV2() error {
	v2_1 := r.version.StateResolution == event.ResolveV2_1
	full, err := r.fullConflictedSet(v2_1)
	if err != nil {
		return err
	}
	// Step 1.
	picked, err := r.pickPowerEvents(full)
	if err != nil {
		return err
	}
	if r.trace.PowerOrder, err = r.powerOrder(picked); err != nil {
		return err
	}
	// Step 2. In v2.1 it starts from an empty map.
	if err := r.iterate(r.trace.PowerOrder, v2_1); err != nil {
		return err
	}
	// Steps 3 and 4.
	var remaining []ident.EventID
	for id := range full {
		if !picked[id] {
			remaining = append(remaining, id)
		}
	}
	if r.trace.MainlineOrder, err = r.mainlineOrder(remaining, r.view(nil, v2_1)); err != nil {
		return err
	}
	return r.iterate(r.trace.MainlineOrder, v2_1)
}

// fullConflictedSet is the conflicted state set, the auth difference and, in v2.1, the conflicted state subgraph.
func (r *resolver) fullConflictedSet(subgraph bool) (map[ident.EventID]bool, error) {
	full := make(map[ident.EventID]bool)
	for _, ids := range r.conflicted {
		for _, id := range ids {
			full[id] = true
		}
	}
	var err error
	if r.trace.AuthDifference, err = r.authDifference(full); err != nil {
		return nil, fmt.Errorf("auth difference: %w", err)
	}
	if subgraph {
		if r.trace.Subgraph, err = r.subgraph(full); err != nil {
			return nil, fmt.Errorf("conflicted state subgraph: %w", err)
		}
	}
	for _, id := range slices.Concat(r.trace.AuthDifference, r.trace.Subgraph) {
		full[id] = true
	}
	return full, nil
}

// pickPowerEvents selects the power events of the full conflicted set, and closes the selection over the auth events in that
// set.
//
// The spec says "the events in the auth chain of P which also belong to the full conflicted set"; like every server in the
// federation, this follows auth events only as long as they stay within the set. An event that can be reached only by way of
// events outside of it is left to step 3. Following the whole chain would let the owner of such an event split servers.
func (r *resolver) pickPowerEvents(full map[ident.EventID]bool) (map[ident.EventID]bool, error) {
	var queue []*event.Event
	picked := make(map[ident.EventID]bool)
	for id := range full {
		e, err := r.event(id)
		if err != nil {
			return nil, err
		}
		if isPowerEvent(e) {
			picked[id] = true
			queue = append(queue, e)
		}
	}
	for len(queue) > 0 {
		e := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, id := range e.AuthEvents() {
			if !full[id] || picked[id] {
				continue
			}
			a, err := r.event(id)
			if err != nil {
				return nil, err
			}
			picked[id] = true
			queue = append(queue, a)
		}
	}
	return picked, nil
}

// isPowerEvent is the definition of rooms/v2, "Power events" (P-72). Power levels and join rules are meant as the event
// schemas have them, with an empty state key.
func isPowerEvent(e *event.Event) bool {
	slot, ok := e.Slot()
	if !ok {
		return false
	}
	if slot == powerSlot || slot == rulesSlot {
		return true
	}
	if slot.Type != memberType || slot.Key == string(e.Sender()) {
		return false
	}
	membership, _ := e.Content().Get("membership").Text()
	return membership == "leave" || membership == "ban"
}
