// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// BackfillProgress is how far the history of a room has been fetched.
type BackfillProgress struct {
	Found    int              // events that got their place in the graph by this call
	Total    int              // by all calls
	Depth    int64            // the smallest among them, 0 when there are none
	Requests int              // of all calls
	Server   ident.ServerName // who was asked last
	Note     string           // how that ended
	Gaps     []ident.EventID  // events that the graph references and that are not in it: what is before them is not here; a thousand at most
}

// Backfill fetches up to about limit events of a room's history, from the gaps of its graph on backwards (E-08, P-85). What it finds is
// verified and judged by its auth events and the state before it, not by the current state (P-37), and is never delivered. It
// stops early when no server gives more: the progress says where. What was found stays found, whatever happens; the
// next call goes on from there. ErrUnknownRoom, ErrNotJoined.
func (e *Engine) Backfill(ctx context.Context, id ident.RoomID, limit int) (BackfillProgress, error) {
	found, q, begun := 0, (*inquiry)(nil), nowMS()
	for limit = min(limit, maxBackfilled); found < limit; {
		head, err := e.knownRoom(ctx, id)
		if err != nil {
			return BackfillProgress{}, err
		}
		if head.membership != Joined {
			return BackfillProgress{}, fmt.Errorf("%s: %w", id, ErrNotJoined)
		}
		if q == nil {
			q = e.inquire(head, spending{maxStateRequests, maxSearchBytes})
			q.strict = true
		}
		q.head = head
		n, err := q.backfill(ctx, begun)
		if found += n; err != nil {
			return BackfillProgress{}, fmt.Errorf("backfill %s: %w", id, err)
		}
		if n == 0 {
			break
		}
	}
	p, err := e.BackfillProgress(ctx, id)
	p.Found = found
	return p, err
}

// BackfillProgress is how far the history of a room has been fetched. ErrUnknownRoom.
func (e *Engine) BackfillProgress(ctx context.Context, id ident.RoomID) (BackfillProgress, error) {
	head, err := e.knownRoom(ctx, id)
	if err != nil {
		return BackfillProgress{}, err
	}
	var row persistence.Backfill
	var gaps []persistence.Gap
	err = e.store.View(ctx, func(tx *persistence.Tx) (err error) {
		if row, _, err = tx.Backfill(head.nid); err != nil {
			return err
		}
		gaps, err = tx.Gaps(head.nid, maxListedGaps)
		return err
	})
	if err != nil {
		return BackfillProgress{}, fmt.Errorf("read the backfill of %s: %w", id, err)
	}
	return BackfillProgress{
		Total: row.Events, Depth: row.Depth, Requests: row.Requests, Server: row.Server, Note: row.Note,
		Gaps: eventsOfGaps(gaps),
	}, nil
}

func eventsOfGaps(gaps []persistence.Gap) (ids []ident.EventID) {
	for _, gap := range gaps {
		ids = append(ids, gap.Event)
	}
	return ids
}

// backfill asks for what is before the room's gaps, for a few of them after another until something is given, for each once since
// begun, in ms. Those for which nobody gave anything come last the next time: nobody may ever have them, and they must not be in the
// way of the others.
func (q *inquiry) backfill(ctx context.Context, begun int64) (found int, err error) {
	for !q.exhausted() {
		var gaps []persistence.Gap
		err := q.e.store.View(ctx, func(tx *persistence.Tx) (err error) {
			gaps, err = tx.Gaps(q.head.nid, maxOwnPrevEvents)
			return err
		})
		if err != nil {
			return 0, fmt.Errorf("read gaps: %w", err)
		}
		gaps = slices.DeleteFunc(gaps, func(g persistence.Gap) bool { return g.AskedAt >= begun })
		if len(gaps) == 0 {
			return 0, nil
		}
		if found, err = q.backfillAt(ctx, gaps); err != nil || found > 0 {
			return found, err
		}
		err = q.e.store.Update(ctx, func(tx *persistence.Tx) error {
			for _, gap := range gaps {
				if err := tx.GapAsked(q.head.nid, gap.Event, max(begun, nowMS())); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, fmt.Errorf("note gaps: %w", err)
		}
	}
	return 0, nil
}

// backfillAt asks one server after the other until one gives something.
func (q *inquiry) backfillAt(ctx context.Context, gaps []persistence.Gap) (found int, err error) {
	asked := 0
	for _, server := range q.historians(gaps) {
		if asked == maxBackfillServers || q.silent[server] {
			continue
		}
		asked++
		found, err := q.backfillFrom(ctx, server, eventsOfGaps(gaps))
		if err != nil || found > 0 {
			return found, err
		}
	}
	return 0, nil
}

// historians is whom to ask for what is before gaps: first the servers of those who followed the newest of them, since whoever makes an
// event has its parents; then those with many users in the room, which are likely to be there long and to stay. The first can be
// liars, so they are few.
func (q *inquiry) historians(gaps []persistence.Gap) (list []ident.ServerName) {
	servers := serversOf(q.head, q.e.self)
	for _, gap := range gaps {
		if len(list) < maxFollowers && servers[gap.Server] > 0 {
			list = append(list, gap.Server)
			delete(servers, gap.Server)
		}
	}
	order := slices.SortedFunc(maps.Keys(servers), func(a, b ident.ServerName) int {
		return cmp.Or(cmp.Compare(servers[b], servers[a]), cmp.Compare(a, b))
	})
	return append(list, order...)
}

// backfillFrom asks one server, and records how it ended. What a server can cause is no error.
func (q *inquiry) backfillFrom(ctx context.Context, server ident.ServerName, points []ident.EventID) (found int, err error) {
	before := q.spent.requests
	c := &chunk{inquiry: q, from: server, events: map[ident.EventID]*event.Event{}}
	problem := c.fetch(ctx, points)
	if problem == nil {
		problem = c.adopt(ctx)
	}
	if cause := context.Cause(ctx); cause != nil {
		return 0, cause
	}
	if problem != nil && (errors.Is(problem, ErrClosed) || !ofOneEvent(problem)) {
		return 0, problem
	}
	row := persistence.Backfill{
		Server: server, AskedAt: nowMS(), Requests: q.spent.requests - before, Events: c.placed, Depth: c.depth,
		Note: fmt.Sprintf("%d events given, %d placed", len(c.events), c.placed),
	}
	if problem != nil {
		row.Note += ": " + problem.Error()
	}
	return c.placed, q.e.store.Update(ctx, func(tx *persistence.Tx) error { return tx.AddBackfill(q.head.nid, row) })
}

// chunk is a piece of history as a server gave it. It belongs to one goroutine.
type chunk struct {
	*inquiry
	from   ident.ServerName
	events map[ident.EventID]*event.Event // not in the graph, well signed, and connected to what was asked for
	placed int
	depth  int64
}

// fetch asks for the points and what is before them. What does not connect to them was not asked for.
func (c *chunk) fetch(ctx context.Context, points []ident.EventID) error {
	query := url.Values{"limit": {strconv.Itoa(maxServedBackfill)}}
	for _, id := range points {
		query.Add("v", string(id))
	}
	body, err := c.ask(ctx, c.from, "backfill", transport.Call{
		Method: http.MethodGet, Path: federationPath("backfill", string(c.head.id)), Query: query, Timeout: requestTimeout,
	})
	if err != nil {
		return err
	}
	list, err := eventList(body, "pdus", maxServedBackfill)
	if err != nil {
		return err
	}
	given := map[ident.EventID]*event.Event{}
	for _, wire := range list {
		if x, err := event.ParseBackfilled(c.head.version, wire); err == nil && x.RoomID() == c.head.id {
			given[x.ID()] = x
		}
	}
	if err := c.verify(ctx, given); err != nil {
		return err
	}
	known, err := c.e.records(ctx, slices.Collect(maps.Keys(given)))
	if err != nil {
		return err
	}
	if err := c.e.keepCopies(ctx, c.head, given, known); err != nil {
		return err
	}
	staged, err := c.staged(ctx, known)
	if err != nil {
		return err
	}
	c.connect(points, given, known, staged)
	if len(list) > 0 && len(c.events) == 0 {
		return fmt.Errorf("%d events that do not connect to what was asked for, or are known", len(list))
	}
	return nil
}

// verify leaves out what is badly signed.
func (c *chunk) verify(ctx context.Context, given map[ident.EventID]*event.Event) error {
	events := slices.Collect(maps.Values(given))
	faults := event.VerifySignatures(ctx, events, keyring{source: c.e.keys, patience: keyPatience})
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for i, x := range events {
		if faults[i] != nil {
			delete(given, x.ID())
		}
	}
	return nil
}

// staged is those of the events that are to get their place in the graph by their own judgement.
func (c *chunk) staged(ctx context.Context, known map[ident.EventID]*record) (staged map[ident.EventID]bool, err error) {
	staged = map[ident.EventID]bool{}
	err = c.e.store.View(ctx, func(tx *persistence.Tx) error {
		for id, r := range known {
			if r.inGraph {
				continue
			}
			if _, staged[id], err = tx.StagedEvent(r.nid); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for staged events: %w", err)
	}
	return staged, nil
}

// connect keeps what the points lead to. What is staged is left to its own judgement, since it was sent to us and is to be delivered; what
// leads to it is kept, so that it can be judged.
func (c *chunk) connect(points []ident.EventID, given map[ident.EventID]*event.Event, known map[ident.EventID]*record,
	staged map[ident.EventID]bool,
) {
	seen := map[ident.EventID]bool{}
	for pending := slices.Clone(points); len(pending) > 0; {
		x := given[pending[0]]
		pending = pending[1:]
		if x == nil || seen[x.ID()] {
			continue
		}
		seen[x.ID()] = true
		if r := known[x.ID()]; r != nil && r.inGraph {
			continue
		}
		if !staged[x.ID()] {
			c.events[x.ID()] = x
		}
		pending = append(pending, x.PrevEvents()...)
	}
}

// adopt has the states before the oldest events given, and the chunk placed in the graph.
func (c *chunk) adopt(ctx context.Context) error {
	if len(c.events) == 0 {
		return nil
	}
	c.chunk = c.events
	servers := append([]ident.ServerName{c.from}, slices.Sorted(maps.Keys(serversOf(c.head, c.e.self)))...)
	states := map[ident.EventID]*givenState{}
	var problem error
	edge, err := c.edge(ctx)
	if err != nil {
		return err
	}
	for _, id := range edge {
		given, err := c.fetchState(ctx, id, servers)
		if err != nil {
			problem = err
			continue
		}
		given.history = true
		states[id] = given
	}
	err = c.e.do(ctx, c.head.id, true, func(b *batch) error {
		c.placed, c.depth, err = b.adoptHistory(c, states)
		return err
	})
	return errors.Join(err, problem)
}

// edge is those events of the chunk some of whose parents are neither in it nor in the graph, newest first, as many as states can be
// asked for.
func (c *chunk) edge(ctx context.Context) (list []ident.EventID, err error) {
	for id, x := range c.events {
		found, err := c.e.records(ctx, x.PrevEvents())
		if err != nil {
			return nil, err
		}
		for _, parent := range x.PrevEvents() {
			if r := found[parent]; c.events[parent] == nil && (r == nil || !r.inGraph) {
				list = append(list, id)
				break
			}
		}
	}
	slices.SortFunc(list, func(a, b ident.EventID) int {
		return cmp.Or(cmp.Compare(c.events[b].Depth(), c.events[a].Depth()), cmp.Compare(a, b))
	})
	return list[:min(len(list), maxEdgeStates)], nil
}
