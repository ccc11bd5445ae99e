// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// ranked is an event with what it is ordered by: rank first, then origin_server_ts, then event id.
type ranked struct {
	id   ident.EventID
	rank int64 // smaller comes first
	ts   int64
}

func compareRanked(a, b ranked) int {
	return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(a.ts, b.ts), cmp.Compare(a.id, b.id))
}

// queue is a heap of events, the smallest on top.
type queue []ranked

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return compareRanked(q[i], q[j]) < 0 }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(ranked)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// powerOrder is the reverse topological power ordering of a set of events (rooms/v2; P-74), by Kahn's algorithm: of the
// events whose auth events within the set are all listed, the smallest is listed next.
func (r *resolver) powerOrder(set map[ident.EventID]bool) ([]ident.EventID, error) {
	ranks, waiting, citing, err := r.powerGraph(set)
	if err != nil {
		return nil, err
	}
	var ready queue
	for id := range set {
		if waiting[id] == 0 {
			ready = append(ready, ranks[id])
		}
	}
	heap.Init(&ready)
	order := make([]ident.EventID, 0, len(set))
	for ready.Len() > 0 {
		id := heap.Pop(&ready).(ranked).id
		order = append(order, id)
		for _, c := range citing[id] {
			if waiting[c]--; waiting[c] == 0 {
				heap.Push(&ready, ranks[c])
			}
		}
	}
	if len(order) < len(set) {
		return nil, fmt.Errorf("resolve state: the auth events of %s go round in a loop", leftOver(set, waiting))
	}
	return order, nil
}

// powerGraph ranks the events of a set, and returns for each how many auth events it has within the set and which events of
// the set list it. An auth event that is listed twice counts once.
func (r *resolver) powerGraph(set map[ident.EventID]bool) (ranks map[ident.EventID]ranked, waiting map[ident.EventID]int,
	citing map[ident.EventID][]ident.EventID, err error,
) {
	ranks = make(map[ident.EventID]ranked, len(set))
	waiting = make(map[ident.EventID]int, len(set))
	citing = make(map[ident.EventID][]ident.EventID, len(set))
	for id := range set {
		e, err := r.event(id)
		if err != nil {
			return nil, nil, nil, err
		}
		if ranks[id], err = r.rankByPower(e); err != nil {
			return nil, nil, nil, err
		}
		for i, a := range e.AuthEvents() {
			if set[a] && !slices.Contains(e.AuthEvents()[:i], a) {
				waiting[id]++
				citing[a] = append(citing[a], id)
			}
		}
	}
	return ranks, waiting, citing, nil
}

// leftOver names the smallest event that could not be listed.
func leftOver(set map[ident.EventID]bool, waiting map[ident.EventID]int) ident.EventID {
	var left []ident.EventID
	for id := range set {
		if waiting[id] > 0 {
			left = append(left, id)
		}
	}
	return slices.Min(left)
}

// rankByPower ranks e by the power of its sender, greater first, as its own auth events have it.
func (r *resolver) rankByPower(e *event.Event) (ranked, error) {
	own, err := r.authEvents(e)
	if err != nil {
		return ranked{}, err
	}
	power := auth.Power(e.Sender(), own[createSlot], own[powerSlot])
	return ranked{e.ID(), -int64(power), e.OriginServerTS()}, nil
}

// mainlineOrder sorts events by the mainline of the power levels event in the given state (rooms/v2, "Mainline ordering";
// P-75).
func (r *resolver) mainlineOrder(ids []ident.EventID, partial *view) ([]ident.EventID, error) {
	power := partial.Event(powerSlot)
	if partial.err != nil {
		return nil, partial.err
	}
	positions, err := r.mainline(power)
	if err != nil {
		return nil, err
	}
	events := make([]ranked, 0, len(ids))
	for _, id := range ids {
		e, err := r.event(id)
		if err != nil {
			return nil, err
		}
		position, err := r.mainlinePosition(e, positions)
		if err != nil {
			return nil, err
		}
		events = append(events, ranked{id, -position, e.OriginServerTS()}) // greater positions come first
	}
	slices.SortFunc(events, compareRanked)
	order := make([]ident.EventID, len(events))
	for i, e := range events {
		order[i] = e.id
	}
	return order, nil
}

// offMainline is the position of events that never meet the mainline: greater than any other.
const offMainline = int64(1) << 62

// mainline lists the power levels events from power back to the first and returns the position of each. power may be nil.
func (r *resolver) mainline(power *event.Event) (map[ident.EventID]int64, error) {
	positions := make(map[ident.EventID]int64)
	for power != nil {
		if _, again := positions[power.ID()]; again {
			return nil, fmt.Errorf("resolve state: the auth events of %s go round in a loop", power.ID())
		}
		positions[power.ID()] = int64(len(positions))
		r.trace.Mainline = append(r.trace.Mainline, power.ID())
		var err error
		if power, err = r.powerLevelsOf(power); err != nil {
			return nil, err
		}
	}
	return positions, nil
}

// mainlinePosition follows the power levels among the auth events of e, which itself does not count, until one is in
// positions. The answer is noted in positions for all those it passed.
func (r *resolver) mainlinePosition(e *event.Event, positions map[ident.EventID]int64) (int64, error) {
	var passed []ident.EventID
	position := offMainline
	for {
		next, err := r.powerLevelsOf(e)
		if err != nil {
			return 0, err
		}
		if next == nil {
			break
		}
		if p, ok := positions[next.ID()]; ok {
			position = p
			break
		}
		positions[next.ID()] = offMainline // until known: a loop, were there one, never meets the mainline
		passed = append(passed, next.ID())
		e = next
	}
	for _, id := range passed {
		positions[id] = position
	}
	return position, nil
}
