// SPDX-License-Identifier: Apache-2.0

package casefile

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/resolve"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxTraced is how many ids the conflicts of a trace name at most, one for each slot and state set: some 300 MB of text.
const maxTraced = 5_000_000

// Resolution is the state that the state sets of a file resolve to.
type Resolution struct {
	RoomVersion string `json:"room_version"`
	Resolved    []Slot `json:"resolved"` // sorted by type, then state key, byte by byte
	// Redacted is the events that took part as their redacted copies, since their content hash does not match (P-15).
	Redacted []ident.EventID `json:"redacted,omitempty"`
	Trace    *Trace          `json:"trace,omitempty"`
}

// Slot is a slot of room state and the event in it.
type Slot struct {
	Type     string        `json:"type"`
	StateKey string        `json:"state_key"`
	EventID  ident.EventID `json:"event_id"`
}

// Resolve resolves the state sets of a file (server-server API, "Room State Resolution"; P-70). The file is an object with
// room_version; events, an array of PDUs; state_sets, an array of arrays of event ids; and optionally rejected, an array of
// event ids. Events need neither hashes nor signatures. The error says what is wrong with the file.
//
// The trace is made if it is asked for: it names the event in every state set for each conflict.
func Resolve(file []byte, trace bool) (*Resolution, error) {
	o, err := parseObject(file, []string{"room_version", "events", "state_sets"}, []string{"rejected"})
	if err != nil {
		return nil, err
	}
	p, err := o.room()
	if err != nil {
		return nil, err
	}
	sets, err := o.stateSets(p)
	if err != nil {
		return nil, err
	}
	if err := p.checkChains(sets); err != nil {
		return nil, err
	}
	states := make([]resolve.StateMap, len(sets))
	for i, set := range sets {
		states[i] = make(resolve.StateMap, len(set))
		for slot, e := range set {
			states[i][slot] = e.ID()
		}
	}
	res, err := resolve.Resolve(p.version, states, p)
	if err != nil {
		return nil, err
	}
	r := &Resolution{RoomVersion: p.version.ID, Resolved: []Slot{}, Redacted: p.redacted}
	if trace {
		if n := len(res.Trace.Conflicted) * len(sets); n > maxTraced {
			return nil, fmt.Errorf("there is too much to trace: %d slots differ between %d state_sets", len(res.Trace.Conflicted), len(sets))
		}
		r.Trace = p.trace(res.Trace, states)
	}
	for _, key := range slices.SortedFunc(maps.Keys(res.State), compareKeys) {
		r.Resolved = append(r.Resolved, Slot{key.Type, key.Key, res.State[key]})
	}
	return r, nil
}

func compareKeys(a, b event.StateKey) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Key, b.Key))
}

// room reads the events, which must be of one room, and which of them were rejected.
func (o object) room() (*pool, error) {
	v, err := o.version()
	if err != nil {
		return nil, err
	}
	list, err := o.pdus("events")
	if err != nil {
		return nil, err
	}
	p := newPool(v)
	events, err := p.add("events", list)
	if err != nil {
		return nil, err
	}
	for i, e := range events {
		if e.RoomID() != events[0].RoomID() {
			return nil, fmt.Errorf("events[%d]: %s is of room %s, events[0] is of %s", i, e.ID(), e.RoomID(), events[0].RoomID())
		}
	}
	var rejected []ident.EventID
	if err := o.read("rejected", &rejected, "an array of event ids"); err != nil {
		return nil, err
	}
	for i, id := range rejected {
		if _, err := p.Event(id); err != nil {
			return nil, fmt.Errorf("rejected[%d]: %w", i, err)
		}
		p.rejected[id] = true
	}
	return p, nil
}

// stateSets reads the state sets. One of them at least has to have a create event.
func (o object) stateSets(p *pool) ([]map[event.StateKey]*event.Event, error) {
	var lists [][]ident.EventID
	if err := o.read("state_sets", &lists, "an array of arrays of event ids"); err != nil {
		return nil, err
	}
	sets, created := make([]map[event.StateKey]*event.Event, len(lists)), false
	for i, list := range lists {
		member := fmt.Sprintf("state_sets[%d]", i)
		if list == nil { // null
			return nil, fmt.Errorf("%s is not an array of event ids", member)
		}
		events := make([]*event.Event, len(list))
		for n, id := range list {
			e, err := p.Event(id)
			if err != nil {
				return nil, fmt.Errorf("%s[%d]: %w", member, n, err)
			}
			events[n] = e
		}
		var err error
		if sets[i], err = state(member, events); err != nil {
			return nil, err
		}
		created = created || sets[i][createSlot] != nil
	}
	if !created {
		return nil, errors.New("none of the state_sets has an m.room.create event")
	}
	return sets, nil
}

var createSlot = event.StateKey{Type: "m.room.create"}
