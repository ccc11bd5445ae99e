// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// serveBackfill gives events and what comes before them, newest first (E-08, P-85), as far as the other server may see them (P-90).
func (e *Engine) serveBackfill(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	head, err := e.shared(ctx, r)
	if err != nil {
		return transport.Reply{}, err
	}
	if err := required(r.Query, "v", "limit"); err != nil {
		return transport.Reply{}, err
	}
	limit, err := strconv.Atoi(r.Query.Get("limit"))
	if err != nil || limit < 0 {
		return transport.Reply{}, invalidParam("limit is not a number of events")
	}
	w := walk{e: e, room: head.id, limit: min(limit, maxServedBackfill), seen: map[ident.EventID]bool{}}
	if err := w.from(ctx, eventIDs(r.Query["v"]), true); err != nil {
		return transport.Reply{}, err
	}
	events, err := e.sightOf(ctx, head, r.Origin).shown(w.found)
	if err != nil {
		return transport.Reply{}, err
	}
	return e.transactionOf(events)
}

// serveMissingEvents gives events between two sets, oldest first (E-09, P-86), as far as the other server may see them (P-90).
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
	events, err := e.sightOf(ctx, head, r.Origin).shown(oldestFirst(w.found))
	if err != nil {
		return transport.Reply{}, err
	}
	return transport.JSON(map[string]any{"events": texts(events)})
}

// eventIDs is the first few of a list that another server made.
func eventIDs(list []string) []ident.EventID {
	ids := make([]ident.EventID, 0, min(len(list), maxNamedEvents))
	for _, id := range list[:min(len(list), maxNamedEvents)] {
		ids = append(ids, ident.EventID(id))
	}
	return ids
}
