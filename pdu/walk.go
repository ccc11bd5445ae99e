// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// serveBackfill gives events and what comes before them, newest first (E-08, P-85).
func (e *Engine) serveBackfill(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	head, err := e.shared(ctx, r)
	if err != nil {
		return transport.Reply{}, err
	}
	limit, err := strconv.Atoi(r.Query.Get("limit"))
	if err != nil || limit < 0 {
		return transport.Reply{}, invalidParam("limit is not a number")
	}
	w := walk{e: e, room: head.id, limit: min(limit, maxServedBackfill)}
	if err := w.from(ctx, eventIDs(r.Query["v"]), true); err != nil {
		return transport.Reply{}, err
	}
	return e.transactionOf(w.found)
}

// serveMissingEvents gives events between two sets, oldest first (E-09, P-86).
func (e *Engine) serveMissingEvents(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	head, err := e.shared(ctx, r)
	if err != nil {
		return transport.Reply{}, err
	}
	request := struct {
		Earliest []string `json:"earliest_events"`
		Latest   []string `json:"latest_events"`
		Limit    int64    `json:"limit"`
		MinDepth int64    `json:"min_depth"`
	}{Limit: defaultMissing}
	if err := json.Unmarshal(r.Body, &request); err != nil {
		return transport.Reply{}, refuse(http.StatusBadRequest, spec.ErrorBadJSON, "not a request for missing events")
	}
	w := walk{
		e: e, room: head.id, limit: int(max(0, min(request.Limit, maxServedMissing))), minDepth: request.MinDepth,
		seen: map[ident.EventID]bool{},
	}
	for _, id := range eventIDs(request.Earliest) {
		w.seen[id] = true
	}
	if err := w.from(ctx, eventIDs(request.Latest), false); err != nil {
		return transport.Reply{}, err
	}
	slices.SortStableFunc(w.found, func(x, y *event.Event) int { return cmp.Compare(x.Depth(), y.Depth()) })
	return transport.JSON(map[string]any{"events": texts(w.found)})
}

// eventIDs is the first few of a list that another server made.
func eventIDs(list []string) []ident.EventID {
	ids := make([]ident.EventID, 0, min(len(list), maxNamedEvents))
	for _, id := range list[:min(len(list), maxNamedEvents)] {
		ids = append(ids, ident.EventID(id))
	}
	return ids
}

// walk goes back through a room's graph, breadth first. It belongs to the request that it is for.
type walk struct {
	e        *Engine
	room     ident.RoomID
	limit    int
	minDepth int64
	seen     map[ident.EventID]bool
	found    []*event.Event
	walked   int
}

// from starts at events that the other server names; with included they are part of the answer. Soft-failed events are given
// only when they are named, or referenced by one that is (P-34); rejected events never are.
func (w *walk) from(ctx context.Context, named []ident.EventID, included bool) error {
	if w.seen == nil {
		w.seen = map[ident.EventID]bool{}
	}
	for depth, level := 0, named; len(level) > 0 && len(w.found) < w.limit && w.walked < maxWalked; depth++ {
		records, err := w.e.records(ctx, level)
		if err != nil {
			return err
		}
		var next []ident.EventID
		for _, id := range level {
			r := records[id]
			if r == nil || r.event.RoomID() != w.room || !r.inGraph || depth == 0 && included && w.seen[id] {
				continue
			}
			w.walked++
			w.seen[id] = true
			if (depth > 0 || included) && w.serves(r, depth) {
				w.found = append(w.found, r.event)
			}
			next = append(next, w.unseen(r.event.PrevEvents())...)
		}
		level = next
	}
	return nil
}

// serves says whether an event that was reached after so many steps is part of the answer.
func (w *walk) serves(r *record, depth int) bool {
	if len(w.found) >= w.limit || r.event.Depth() < w.minDepth {
		return false
	}
	return r.outcome == Accepted || r.outcome == SoftFailed && depth <= 1
}

// unseen is those events that were not reached before; from now on they were.
func (w *walk) unseen(ids []ident.EventID) (list []ident.EventID) {
	for _, id := range ids {
		if !w.seen[id] {
			w.seen[id] = true
			list = append(list, id)
		}
	}
	return list
}
