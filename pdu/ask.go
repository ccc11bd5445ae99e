// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// askMissingEvents asks a server for events between our extremities and one that it sent (E-09).
func (e *Engine) askMissingEvents(ctx context.Context, server ident.ServerName, head *room, latest ident.EventID) ([][]byte, error) {
	earliest := make([]ident.EventID, 0, len(head.extremities))
	for _, x := range head.extremities[:min(len(head.extremities), maxOwnPrevEvents)] {
		earliest = append(earliest, x.record.event.ID())
	}
	body, err := canonicaljson.Marshal(map[string]any{
		"earliest_events": earliest, "latest_events": []ident.EventID{latest}, "limit": maxFromGap, "min_depth": 0,
	})
	if err != nil {
		return nil, err
	}
	answer, err := e.client.Do(ctx, server, transport.Call{
		Method: http.MethodPost, Path: transport.Path("_matrix", "federation", "v1", "get_missing_events", string(head.id)),
		Body: body, Timeout: requestTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("ask %s for events before %s: %w", server, latest, err)
	}
	return eventList(answer.Body, "events", maxFromGap)
}

// askEvent asks a server for one event (E-12).
func (e *Engine) askEvent(ctx context.Context, server ident.ServerName, id ident.EventID) ([][]byte, error) {
	answer, err := e.client.Do(ctx, server, transport.Call{
		Method: http.MethodGet, Path: transport.Path("_matrix", "federation", "v1", "event", string(id)), Timeout: requestTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("ask %s for %s: %w", server, id, err)
	}
	return eventList(answer.Body, "pdus", 1)
}

// eventList is the events in one member of an answer; more than were asked for are ignored.
func eventList(body []byte, member string, limit int) ([][]byte, error) {
	var answer map[string]json.RawMessage
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	var events []json.RawMessage
	if err := json.Unmarshal(answer[member], &events); err != nil {
		return nil, fmt.Errorf("read %s of the answer: %w", member, err)
	}
	list := make([][]byte, 0, min(len(events), limit))
	for _, wire := range events[:min(len(events), limit)] {
		list = append(list, wire)
	}
	return list, nil
}
