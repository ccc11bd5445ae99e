// SPDX-License-Identifier: Apache-2.0

package casefile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// pool is the events of a file. It implements resolve.Source.
type pool struct {
	version  *event.Version
	known    map[ident.EventID]*entry
	citing   map[ident.EventID][]ident.EventID // the state events that list an event, in the order of the file
	rejected map[ident.EventID]bool
	redacted []ident.EventID // whose content hash did not match
}

// entry is one event and where it stands.
type entry struct {
	event *event.Event
	wire  json.RawMessage
	place string // "events[3]"
}

func newPool(v *event.Version) *pool {
	return &pool{
		version: v, known: make(map[ident.EventID]*entry), citing: make(map[ident.EventID][]ident.EventID),
		rejected: make(map[ident.EventID]bool),
	}
}

// add parses the events of a member of the file. One that stands in the file twice counts once; two under one id are a fault.
func (p *pool) add(member string, list []json.RawMessage) ([]*event.Event, error) {
	added := make([]*event.Event, 0, len(list))
	for i, wire := range list {
		place := fmt.Sprintf("%s[%d]", member, i)
		e, err := event.ParseBare(p.version, wire)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", place, err)
		}
		if have, ok := p.known[e.ID()]; ok {
			if !bytes.Equal(have.event.JSON(), e.JSON()) {
				return nil, fmt.Errorf("%s: %s is %s already, with other contents", place, e.ID(), have.place)
			}
			added = append(added, have.event)
			continue
		}
		p.keep(&entry{e, wire, place})
		added = append(added, e)
	}
	return added, nil
}

func (p *pool) keep(n *entry) {
	id := n.event.ID()
	p.known[id] = n
	if n.event.HashMismatch() {
		p.redacted = append(p.redacted, id)
	}
	if _, isState := n.event.StateKey(); !isState {
		return
	}
	for i, a := range n.event.AuthEvents() {
		if !slices.Contains(n.event.AuthEvents()[:i], a) {
			p.citing[a] = append(p.citing[a], id)
		}
	}
}

// Event implements resolve.Source.
func (p *pool) Event(id ident.EventID) (*event.Event, error) {
	if n, ok := p.known[id]; ok {
		return n.event, nil
	}
	return nil, p.unknown(id)
}

// Rejected implements resolve.Source.
func (p *pool) Rejected(id ident.EventID) bool { return p.rejected[id] }

// Citing implements resolve.Source.
func (p *pool) Citing(id ident.EventID) iter.Seq2[ident.EventID, error] {
	return func(yield func(ident.EventID, error) bool) {
		for _, citing := range slices.Backward(p.citing[id]) {
			if !yield(citing, nil) {
				return
			}
		}
	}
}

// unknown is the error about an id that no event has. The likely cause is an event_id where the id is computed (P-13).
func (p *pool) unknown(id ident.EventID) error {
	for computed, n := range p.known {
		var stray struct {
			ID json.RawMessage `json:"event_id"`
		}
		var text string
		if json.Unmarshal(n.wire, &stray) == nil && json.Unmarshal(stray.ID, &text) == nil && text == string(id) {
			return fmt.Errorf("no event has the id %s; %s says so in event_id, which room version %s does not have: its id is %s",
				id, n.place, p.version.ID, computed)
		}
	}
	return fmt.Errorf("no event has the id %s", id)
}

// create is the create event that the room id names, where it does; nil if it is not known.
func (p *pool) create(room ident.RoomID) *event.Event {
	if !p.version.HashRoomID || room == "" {
		return nil
	}
	if n, ok := p.known["$"+ident.EventID(room[1:])]; ok {
		return n.event
	}
	return nil
}

// state makes room state of events: each must be a state event, and the only one in its slot.
func state(member string, events []*event.Event) (map[event.StateKey]*event.Event, error) {
	slots := make(map[event.StateKey]*event.Event, len(events))
	for _, e := range events {
		slot, ok := e.Slot()
		if !ok {
			return nil, fmt.Errorf("%s holds %s, which is no state event: it has no state_key", member, e.ID())
		}
		if other := slots[slot]; other != nil && other.ID() != e.ID() {
			return nil, fmt.Errorf("%s holds two events for (%s, %q): %s and %s", member, slot.Type, slot.Key, other.ID(), e.ID())
		}
		slots[slot] = e
	}
	return slots, nil
}
