// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// StateMap is room state: the event in each slot.
type StateMap = map[event.StateKey]ident.EventID

// Source is what is known of the room. It must answer for every event of the state sets and of their auth chains.
type Source interface {
	// Event returns a state event, or an error when it is not known.
	Event(id ident.EventID) (*event.Event, error)
	// Rejected says whether the event was rejected, for whatever reason.
	Rejected(id ident.EventID) bool
	// Citing yields the state events that list id among their auth_events: all that are known, in any order. Newest
	// first is fastest. The sequence ends after an error.
	Citing(id ident.EventID) iter.Seq2[ident.EventID, error]
}

// Resolution is the state that several states resolve to.
type Resolution struct {
	State StateMap
	Trace Trace
}

// Trace says how a resolution came about. Everything in it depends on the inputs only.
type Trace struct {
	Conflicted     []event.StateKey // slots in which the sets differ, sorted by type and key
	AuthDifference []ident.EventID  // v2: events of the auth difference that are not conflicted themselves, sorted
	Subgraph       []ident.EventID  // v2.1: events of the conflicted state subgraph that are not conflicted, sorted
	PowerOrder     []ident.EventID  // v2: the events of step 1 in reverse topological power ordering
	Mainline       []ident.EventID  // v2: the mainline of step 3, from the resolved power levels back
	MainlineOrder  []ident.EventID  // v2: the events of step 3 in mainline ordering
	Checks         []Check          // every authorisation check in the order made
}

// Check is one authorisation check of a resolution.
type Check struct {
	Event  ident.EventID
	Key    event.StateKey
	Result auth.Result
}

// Resolve resolves whole states (server-server API, "Room State Resolution"; P-70). The result holds every slot. It costs at
// least the size of the sets: a caller that can tell what differs uses ResolveConflicts.
func Resolve(v *event.Version, sets []StateMap, src Source) (Resolution, error) {
	create, err := createOf(sets, src)
	if err != nil {
		return Resolution{}, err
	}
	nothing := func(event.StateKey) (ident.EventID, bool) { return "", false }
	return ResolveConflicts(v, create, nothing, sets, src)
}

func createOf(sets []StateMap, src Source) (*event.Event, error) {
	for _, set := range sets {
		if id, ok := set[createSlot]; ok {
			create, err := src.Event(id)
			if err != nil {
				return nil, fmt.Errorf("fetch create event %s: %w", id, err)
			}
			return create, nil
		}
	}
	return nil, nil
}

// ResolveConflicts resolves states of which only the differences are given: conflicted holds, for each state, the slots in
// which not all states are alike (state.Diff gives them), and unconflicted looks up any other slot. It is not asked about
// slots that conflicted mentions, so it may look in any of the states. create is the room's create event.
//
// The result holds the slots that conflicted mentions and the few others that unconflicted has not but the resolution
// filled; a slot that conflicted mentions and the result does not is empty in the resolved state.
//
// An event that src does not know, or that is of another room, is an error that names it.
func ResolveConflicts(v *event.Version, create *event.Event, unconflicted func(event.StateKey) (ident.EventID, bool),
	conflicted []StateMap, src Source,
) (Resolution, error) {
	r := &resolver{version: v, create: create, src: src, sets: conflicted, elsewhere: unconflicted}
	r.events = make(map[ident.EventID]*event.Event)
	r.resolved = make(StateMap)
	r.split(v.StateResolution == event.ResolveV1)
	if err := r.run(); err != nil {
		return Resolution{}, err
	}
	// Step 5 of v2: what is unconflicted stays. In v1 no such slot is ever touched.
	maps.DeleteFunc(r.resolved, func(key event.StateKey, _ ident.EventID) bool {
		_, ok := r.unconflicted(key)
		return ok
	})
	maps.Copy(r.resolved, r.agreed)
	return Resolution{State: r.resolved, Trace: r.trace}, nil
}

// resolver is the working memory of one resolution. It belongs to the goroutine that resolves.
type resolver struct {
	version   *event.Version
	create    *event.Event
	src       Source
	sets      []StateMap
	elsewhere func(event.StateKey) (ident.EventID, bool) // the slots that sets do not mention

	agreed     StateMap                           // slots that sets mention, but in which they are alike
	conflicted map[event.StateKey][]ident.EventID // the other slots, with the distinct events in them, sorted by id

	events   map[ident.EventID]*event.Event // what was fetched
	resolved StateMap                       // what was decided, over the unconflicted state
	trace    Trace
}

// The slots that the algorithms know by name.
var (
	createSlot = event.StateKey{Type: "m.room.create"}
	powerSlot  = event.StateKey{Type: "m.room.power_levels"}
	rulesSlot  = event.StateKey{Type: "m.room.join_rules"}
)

const memberType = "m.room.member"

// split sorts the slots of the sets into those that are alike and those that conflict. In v1 a set that lacks a slot does
// not conflict with those that have it (rooms/v1, "State resolution"); in v2 it does (P-73).
func (r *resolver) split(lacking bool) {
	found := make(map[event.StateKey][]ident.EventID)
	for _, set := range r.sets {
		for key, id := range set {
			found[key] = append(found[key], id)
		}
	}
	r.agreed, r.conflicted = make(StateMap), make(map[event.StateKey][]ident.EventID)
	for key, ids := range found {
		complete := lacking || len(ids) == len(r.sets)
		slices.Sort(ids)
		if ids = slices.Compact(ids); len(ids) == 1 && complete {
			r.agreed[key] = ids[0]
		} else {
			r.conflicted[key] = ids
		}
	}
	r.trace.Conflicted = slices.SortedFunc(maps.Keys(r.conflicted), compareKeys)
}

func compareKeys(a, b event.StateKey) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Key, b.Key))
}

func (r *resolver) run() error {
	if len(r.conflicted) == 0 {
		return nil
	}
	switch r.version.StateResolution {
	case event.ResolveV1:
		return r.resolveV1()
	case event.ResolveV2, event.ResolveV2_1:
		return r.resolveV2()
	}
	return fmt.Errorf("resolve state of room version %s: no algorithm is known", r.version.ID)
}

// unconflicted looks up a slot of the unconflicted state map.
func (r *resolver) unconflicted(key event.StateKey) (ident.EventID, bool) {
	if _, ok := r.conflicted[key]; ok {
		return "", false
	}
	if id, ok := r.agreed[key]; ok {
		return id, true
	}
	return r.elsewhere(key)
}

// isUnconflicted says whether e is the event in its slot of the unconflicted state map.
func (r *resolver) isUnconflicted(e *event.Event) bool {
	slot, ok := e.Slot()
	if !ok {
		return false
	}
	id, ok := r.unconflicted(slot)
	return ok && id == e.ID()
}

// event fetches an event once.
func (r *resolver) event(id ident.EventID) (*event.Event, error) {
	if e, ok := r.events[id]; ok {
		return e, nil
	}
	e, err := r.src.Event(id)
	if err != nil {
		return nil, fmt.Errorf("resolve state: fetch event %s: %w", id, err)
	}
	if r.create != nil && e.RoomID() != r.create.RoomID() {
		return nil, fmt.Errorf("resolve state: event %s is of room %s, not of %s", id, e.RoomID(), r.create.RoomID())
	}
	r.events[id] = e
	return e, nil
}

// authEvents fetches the auth events of e by slot. Accepted events have one for each slot (P-41).
func (r *resolver) authEvents(e *event.Event) (map[event.StateKey]*event.Event, error) {
	found := make(map[event.StateKey]*event.Event, len(e.AuthEvents())+1)
	for _, id := range e.AuthEvents() {
		a, err := r.event(id)
		if err != nil {
			return nil, fmt.Errorf("auth events of %s: %w", e.ID(), err)
		}
		if slot, ok := a.Slot(); ok {
			found[slot] = a
		}
	}
	if r.version.HashRoomID { // rooms/v12: the room id stands for the create event
		found[createSlot] = r.create
	}
	return found, nil
}

// powerLevelsOf fetches the power levels event among the auth events of e, nil if there is none.
func (r *resolver) powerLevelsOf(e *event.Event) (*event.Event, error) {
	for _, id := range e.AuthEvents() {
		a, err := r.event(id)
		if err != nil {
			return nil, fmt.Errorf("auth events of %s: %w", e.ID(), err)
		}
		if slot, ok := a.Slot(); ok && slot == powerSlot {
			return a, nil
		}
	}
	return nil, nil
}
