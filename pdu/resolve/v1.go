// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"bytes"
	"cmp"
	"crypto/sha1"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// resolveV1 is the algorithm of room version 1 (rooms/v1, "State resolution"; P-71).
//
// The spec leaves two things open. "Repeat the above process for m.room.member events" does not say in which order the users
// come: here the slots of one type are decided independently, all on the same R, so that no order is needed (P-80). And of
// other conflicts none may pass: then the last candidate, with the least depth, is taken. Both are what existing servers do.
func (r *resolver) resolveV1() error {
	passes := []func(event.StateKey) bool{
		func(key event.StateKey) bool { return key == powerSlot },
		func(key event.StateKey) bool { return key.Type == rulesSlot.Type },
		func(key event.StateKey) bool { return key.Type == memberType },
	}
	done := make(map[event.StateKey]bool)
	for _, inPass := range passes {
		decided := make(StateMap)
		for _, key := range r.trace.Conflicted {
			if done[key] || !inPass(key) {
				continue
			}
			id, err := r.followV1(key)
			if err != nil {
				return err
			}
			decided[key], done[key] = id, true
		}
		for key, id := range decided {
			r.resolved[key] = id
		}
	}
	for _, key := range r.trace.Conflicted {
		if done[key] {
			continue
		}
		id, err := r.pickV1(key)
		if err != nil {
			return err
		}
		r.resolved[key] = id
	}
	return nil
}

// followV1 starts from the first event by ascending depth and goes on as long as the next is allowed on top of it.
func (r *resolver) followV1(key event.StateKey) (ident.EventID, error) {
	candidates, err := r.orderV1(key)
	if err != nil {
		return "", err
	}
	current := candidates[0]
	for _, next := range candidates[1:] {
		state := r.view(nil, false)
		state.own = map[event.StateKey]*event.Event{key: current} // the slot conflicts, so R does not fill it
		ok, err := r.check(next, state)
		if err != nil {
			return "", err
		}
		if !ok {
			break
		}
		current = next
	}
	return current.ID(), nil
}

// pickV1 takes the event with the highest depth that is allowed.
func (r *resolver) pickV1(key event.StateKey) (ident.EventID, error) {
	candidates, err := r.orderV1(key)
	if err != nil {
		return "", err
	}
	for _, e := range slices.Backward(candidates) {
		ok, err := r.check(e, r.view(nil, false))
		if err != nil {
			return "", err
		}
		if ok {
			return e.ID(), nil
		}
	}
	return candidates[0].ID(), nil
}

// orderV1 sorts the events of a slot by ascending depth, then by descending SHA-1 of their ids.
func (r *resolver) orderV1(key event.StateKey) ([]*event.Event, error) {
	var events []*event.Event
	for _, id := range r.conflicted[key] {
		e, err := r.event(id)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b *event.Event) int {
		sumA, sumB := sha1.Sum([]byte(a.ID())), sha1.Sum([]byte(b.ID()))
		return cmp.Or(cmp.Compare(a.Depth(), b.Depth()), bytes.Compare(sumB[:], sumA[:]))
	})
	return events, nil
}
