// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"cmp"
	"container/heap"
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// GraphQuery selects a part of a room's graph: what leads to some of its events, the latest first.
type GraphQuery struct {
	RoomID string   `json:"room_id"`
	From   []string `json:"from,omitempty"` // event ids to go back from; none for the room's forward extremities and what was refused
	Auth   bool     `json:"auth,omitempty"` // go back over auth_events instead of prev_events
	Limit  int      `json:"limit,omitempty"`
}

// Node is an event of a graph. Its lists are never nil.
type Node struct {
	Event
	Head    bool            `json:"head"`    // a forward extremity
	Parents []ident.EventID `json:"parents"` // the prev_events or auth_events that are in the answer too
	Gaps    []ident.EventID `json:"gaps"`    // those that are not known here, nor what is below them
	More    bool            `json:"more"`    // others are known, but beyond the limit
}

// Graph gives a part of a room's graph, each event before its parents, those at greater depth first. It goes back from later
// to earlier events, at the cost of what it gives.
func (i *Inspector) Graph(ctx context.Context, q GraphQuery) ([]Node, error) {
	row, err := i.room(ctx, q.RoomID)
	if err != nil {
		return nil, err
	}
	g := &graph{i: i, ctx: ctx, room: row.NID, auth: q.Auth, limit: clampLimit(q.Limit), nodes: map[ident.EventID]*Node{}, heads: map[int64]bool{}}
	for _, nid := range row.Extremities {
		g.heads[nid] = true
	}
	if v, known := event.VersionOf(row.Version); known && v.HashRoomID {
		g.implied = row.Create
	}
	err = g.begin(row, q.From)
	if err == nil && len(q.From) == 0 && !q.Auth {
		err = g.reachRefused(row.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("graph of %s: %w", q.RoomID, err)
	}
	if err := g.collect(); err != nil {
		return nil, fmt.Errorf("graph of %s: %w", q.RoomID, err)
	}
	return g.order(), nil
}

// graph is the part of a room's graph that one call gathers.
type graph struct {
	i       *Inspector
	ctx     context.Context
	room    int64
	auth    bool
	implied ident.EventID // the create event, where the room id stands for it
	limit   int
	heads   map[int64]bool
	nodes   map[ident.EventID]*Node // gathered, and nil for those that are still in the frontier
	pending descent
}

// begin puts the events to start from into the frontier.
func (g *graph) begin(row persistence.Room, from []string) error {
	for _, nid := range row.Extremities {
		if len(from) > 0 {
			break
		}
		var stored persistence.Event
		err := g.i.view(g.ctx, func(tx *persistence.Tx) (err error) {
			stored, _, err = tx.EventByNID(nid)
			return err
		})
		if err != nil {
			return err
		}
		if _, err := g.reach(stored.ID); err != nil {
			return err
		}
	}
	for _, id := range from {
		if _, err := ident.ParseEventID(id); err != nil {
			return badQuery{err}
		}
		placed, err := g.reach(ident.EventID(id))
		if err == nil && !placed {
			err = fmt.Errorf("event %s is not in the graph of the room: %w", id, ErrNotFound)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// reachRefused puts the latest refused events into the frontier: no accepted event need follow them. Who is refused can send as many as
// it likes: a third as many are taken as there are places.
func (g *graph) reachRefused(room ident.RoomID) error {
	left := g.limit / 3
	for _, outcome := range []int{persistence.OutcomeSoftFailed, persistence.OutcomeRejected} {
		if left == 0 {
			break
		}
		var latest []persistence.Verdict
		err := g.i.view(g.ctx, func(tx *persistence.Tx) (err error) {
			latest, _, err = tx.FindVerdicts(persistence.VerdictFilter{Room: room, Outcome: outcome}, left)
			return err
		})
		if err != nil {
			return err
		}
		left -= len(latest)
		for _, v := range latest {
			if _, err := g.reach(v.Event); err != nil {
				return err
			}
		}
	}
	return nil
}

// reach puts an event into the frontier; placed is false for one that has no place in the graph of the room. For auth events it
// is enough that they are known.
func (g *graph) reach(id ident.EventID) (placed bool, err error) {
	if _, seen := g.nodes[id]; seen {
		return true, nil
	}
	stored, found, err := g.i.event(g.ctx, id)
	if err != nil || !found || stored.RoomNID != g.room || stored.Before == nil && !g.auth {
		return false, err
	}
	e, err := eventOf(stored)
	if err != nil {
		return false, err
	}
	e.PDU = nil
	g.nodes[id] = nil
	heap.Push(&g.pending, Node{Event: e, Head: g.heads[stored.NID], Parents: []ident.EventID{}, Gaps: []ident.EventID{}})
	return true, nil
}

// collect goes back from the frontier, the deepest events first.
func (g *graph) collect() error {
	for n := 0; n < g.limit && len(g.pending) > 0; n++ {
		node := heap.Pop(&g.pending).(Node)
		g.nodes[ident.EventID(node.EventID)] = &node
		for _, id := range g.edges(&node) {
			placed, err := g.reach(id)
			if err != nil {
				return err
			}
			if !placed {
				node.Gaps = append(node.Gaps, id)
			}
		}
	}
	for id, node := range g.nodes {
		if node == nil {
			delete(g.nodes, id)
		}
	}
	for _, node := range g.nodes {
		for _, id := range g.edges(node) {
			switch {
			case g.nodes[id] != nil:
				node.Parents = append(node.Parents, id)
			case !slices.Contains(node.Gaps, id):
				node.More = true
			}
		}
	}
	return nil
}

// edges is what the graph leads to from an event, each once.
func (g *graph) edges(node *Node) []ident.EventID {
	list := node.PrevEvents
	if g.auth {
		list = node.AuthEvents
		if g.implied != "" && node.EventID != string(g.implied) {
			list = append([]ident.EventID{g.implied}, list...)
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}

// order sorts what was gathered so that each event comes before its parents. The depth alone would not do: any server may
// claim any depth.
func (g *graph) order() []Node {
	children := map[ident.EventID]int{}
	for _, node := range g.nodes {
		for _, id := range node.Parents {
			children[id]++
		}
	}
	var free descent
	for id, node := range g.nodes {
		if children[id] == 0 {
			free = append(free, *node)
		}
	}
	heap.Init(&free)
	list := make([]Node, 0, len(g.nodes))
	for len(free) > 0 {
		node := heap.Pop(&free).(Node)
		list = append(list, node)
		for _, id := range node.Parents {
			if children[id]--; children[id] == 0 {
				heap.Push(&free, *g.nodes[id])
			}
		}
	}
	return list
}

// descent is a heap of events, the deepest on top; of equally deep ones the later.
type descent []Node

func (d descent) Len() int      { return len(d) }
func (d descent) Swap(a, b int) { d[a], d[b] = d[b], d[a] }
func (d descent) Less(a, b int) bool {
	return cmp.Or(cmp.Compare(d[b].Depth, d[a].Depth), cmp.Compare(d[b].OriginTS, d[a].OriginTS), cmp.Compare(d[b].EventID, d[a].EventID)) < 0
}

// Push implements heap.Interface.
func (d *descent) Push(x any) { *d = append(*d, x.(Node)) }

// Pop implements heap.Interface.
func (d *descent) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}
