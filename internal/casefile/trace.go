// SPDX-License-Identifier: Apache-2.0

package casefile

import (
	"github.com/strata-matrix/strata/pdu/resolve"
	"github.com/strata-matrix/strata/transport/ident"
)

// Trace is how a resolution came about. What an algorithm has not is empty: room version 1 has conflicts and checks only.
type Trace struct {
	Conflicted     []Conflict `json:"conflicted"`          // sorted by type, then state key
	AuthDifference []Slot     `json:"auth_difference"`     // without conflicted events, sorted by id
	Subgraph       []Slot     `json:"conflicted_subgraph"` // room version 12; without conflicted events, sorted by id
	PowerOrder     []Slot     `json:"power_order"`         // reverse topological power ordering
	Mainline       []Slot     `json:"mainline"`            // from the resolved power levels back
	MainlineOrder  []Slot     `json:"mainline_order"`      // mainline ordering of all others
	Checks         []Judged   `json:"checks"`              // in the order made
}

// Conflict is a slot in which the state sets differ.
type Conflict struct {
	Type     string          `json:"type"`
	StateKey string          `json:"state_key"`
	BySet    []ident.EventID `json:"event_ids"` // the event in each state set, "" where the slot is empty
}

// Judged is one authorisation check of a resolution.
type Judged struct {
	Slot
	OK     bool   `json:"ok"`
	Rule   string `json:"rule"`
	Detail string `json:"detail"`
}

func (p *pool) trace(t resolve.Trace, states []resolve.StateMap) *Trace {
	trace := &Trace{
		Conflicted: make([]Conflict, 0, len(t.Conflicted)), AuthDifference: p.slots(t.AuthDifference), Subgraph: p.slots(t.Subgraph),
		PowerOrder: p.slots(t.PowerOrder), Mainline: p.slots(t.Mainline), MainlineOrder: p.slots(t.MainlineOrder),
		Checks: make([]Judged, 0, len(t.Checks)),
	}
	for _, key := range t.Conflicted {
		c := Conflict{Type: key.Type, StateKey: key.Key}
		for _, s := range states {
			c.BySet = append(c.BySet, s[key])
		}
		trace.Conflicted = append(trace.Conflicted, c)
	}
	for _, c := range t.Checks {
		slot := Slot{c.Key.Type, c.Key.Key, c.Event}
		trace.Checks = append(trace.Checks, Judged{slot, c.Result.OK, c.Result.Rule, c.Result.Detail})
	}
	return trace
}

func (p *pool) slots(ids []ident.EventID) []Slot {
	slots := make([]Slot, 0, len(ids))
	for _, id := range ids {
		s := Slot{EventID: id}
		if n, ok := p.known[id]; ok {
			s.Type = n.event.Type()
			s.StateKey, _ = n.event.StateKey()
		}
		slots = append(slots, s)
	}
	return slots
}
