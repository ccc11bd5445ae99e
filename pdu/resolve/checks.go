// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// view is the state that one event is checked against: what has been resolved, the unconflicted state under it (unless the
// algorithm starts from nothing), and under that the event's own auth events. It implements auth.State.
type view struct {
	r     *resolver
	empty bool // start from an empty map, not from the unconflicted state
	own   map[event.StateKey]*event.Event
	err   error // the first failed fetch; auth.State has no room for it
}

func (r *resolver) view(own map[event.StateKey]*event.Event, empty bool) *view {
	return &view{r: r, own: own, empty: empty}
}

// Event looks up a slot.
func (v *view) Event(key event.StateKey) *event.Event {
	id, ok := v.r.resolved[key]
	if !ok && !v.empty {
		id, ok = v.r.unconflicted(key)
	}
	if !ok {
		return v.own[key]
	}
	e, err := v.r.event(id)
	if err != nil && v.err == nil {
		v.err = err
	}
	return e
}

// check authorises e at a state, and keeps a record of it.
func (r *resolver) check(e *event.Event, state *view) (bool, error) {
	result := auth.Check(e, state)
	if state.err != nil {
		return false, state.err
	}
	slot, _ := e.Slot()
	r.trace.Checks = append(r.trace.Checks, Check{Event: e.ID(), Key: slot, Result: result})
	return result.OK, nil
}

// iterate is the iterative auth checks algorithm on the resolved state (rooms/v2, "Iterative auth checks"; P-76). Events that
// were rejected take part like any other (P-78): only as somebody's auth event a rejected event does not count, because
// those are not checked again.
func (r *resolver) iterate(ids []ident.EventID, empty bool) error {
	for _, id := range ids {
		e, err := r.event(id)
		if err != nil {
			return err
		}
		slot, ok := e.Slot()
		if !ok {
			continue // not a state event, so never accepted as an auth event (P-41)
		}
		own, err := r.authEvents(e)
		if err != nil {
			return err
		}
		for key, a := range own {
			if a != nil && r.src.Rejected(a.ID()) {
				delete(own, key)
			}
		}
		allowed, err := r.check(e, r.view(own, empty))
		if err != nil {
			return err
		}
		if allowed {
			r.resolved[slot] = id
		}
	}
	return nil
}
