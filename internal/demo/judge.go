// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// sent is an event that was acknowledged to its sender: from then on it must not be lost.
type sent struct {
	number int // 1 for the first
	by     int // number of the server
	id     ident.EventID
}

// verdict is what the journals prove.
type verdict struct {
	delivered   int // (server, event) pairs that were to be found and were
	lost        int // those that were not
	duplicated  int // events that a server got at two positions, each server counted
	redelivered int // deliveries that came again at their old position
	faults      []string
}

func (v *verdict) fault(format string, args ...any) {
	v.faults = append(v.faults, fmt.Sprintf(format, args...))
}

// judge holds the journals of servers 1, 2, … against what was sent. Every server was in the room before the first event of all.
func judge(all []sent, journals [][][]entry) verdict {
	var v verdict
	for i, runs := range journals {
		v.server(i+1, all, runs)
	}
	return v
}

// server judges one journal: the deliveries of each of the server's processes.
func (v *verdict) server(number int, all []sent, runs [][]entry) {
	positions := map[ident.EventID]persistence.Position{}
	events := map[persistence.Position]ident.EventID{}
	twice := map[ident.EventID]bool{}
	for _, run := range runs {
		last := persistence.Position(0)
		for _, e := range run {
			if e.Position <= last {
				v.fault("server %d: position %d was delivered after position %d", number, e.Position, last)
			}
			last = e.Position
			if other, taken := events[e.Position]; taken && other != e.Event {
				v.fault("server %d: position %d stands for two events, %s and %s", number, e.Position, other, e.Event)
			}
			events[e.Position] = e.Event
			switch before, known := positions[e.Event]; {
			case !known:
				positions[e.Event] = e.Position
			case before == e.Position:
				v.redelivered++
			default:
				twice[e.Event] = true
				v.fault("server %d: event %s was delivered twice, at positions %d and %d", number, e.Event, before, e.Position)
			}
		}
	}
	v.duplicated += len(twice)
	for _, s := range all {
		if _, found := positions[s.id]; found {
			v.delivered++
			continue
		}
		v.lost++
		v.fault("server %d never got event %d, %s, which server %d had acknowledged", number, s.number, s.id, s.by)
	}
}

// compareStates names where the states of the servers differ from server 1's.
func compareStates(states []map[string]ident.EventID) (faults []string) {
	for i, state := range states[1:] {
		keys := maps.Clone(states[0])
		maps.Copy(keys, state)
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			if ours, theirs := states[0][key], state[key]; ours != theirs {
				faults = append(faults, fmt.Sprintf("room state %s is %s on server 1 and %s on server %d",
					key, orNothing(ours), orNothing(theirs), i+2))
			}
		}
	}
	return faults
}

func orNothing(id ident.EventID) string {
	if id == "" {
		return "nothing"
	}
	return string(id)
}
