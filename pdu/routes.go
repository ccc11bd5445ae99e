// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// Routes is the endpoints by which other servers get events of rooms that they are in (E-07 to E-12).
func (e *Engine) Routes() []transport.Route {
	const v1 = "/_matrix/federation/v1/"
	return []transport.Route{
		{Method: http.MethodGet, Pattern: v1 + "event_auth/:roomID/:eventID", Handle: e.serveEventAuth},
		{Method: http.MethodGet, Pattern: v1 + "backfill/:roomID", Handle: e.serveBackfill},
		{Method: http.MethodPost, Pattern: v1 + "get_missing_events/:roomID", Handle: e.serveMissingEvents},
		{Method: http.MethodGet, Pattern: v1 + "state/:roomID", Handle: e.serveState},
		{Method: http.MethodGet, Pattern: v1 + "state_ids/:roomID", Handle: e.serveStateIDs},
		{Method: http.MethodGet, Pattern: v1 + "event/:eventID", Handle: e.serveEvent},
	}
}

// serveEvent gives one event (E-12). The path names no room, so an event of a room that the other server is not in is answered
// like one that does not exist.
func (e *Engine) serveEvent(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	found, err := e.records(ctx, []ident.EventID{ident.EventID(r.Params["eventID"])})
	if err != nil {
		return transport.Reply{}, err
	}
	for _, rec := range found {
		if rec.outcome != Accepted && rec.outcome != SoftFailed {
			continue
		}
		head, err := e.readHead(ctx, rec.event.RoomID(), false)
		if err != nil {
			return transport.Reply{}, err
		}
		if head == nil || head.servers[r.Origin] == 0 {
			continue
		}
		var denied *transport.Error
		if err := e.checkAccess(ctx, head, r.Origin); errors.As(err, &denied) {
			continue
		} else if err != nil {
			return transport.Reply{}, err
		}
		return e.transactionOf([]*event.Event{rec.event})
	}
	return transport.Reply{}, errUnknown()
}

// serveState gives the state before an event with its auth chain (E-10, P-87).
func (e *Engine) serveState(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	events, chain, err := e.requestedState(ctx, r)
	if err != nil {
		return transport.Reply{}, err
	}
	return transport.JSON(map[string]any{"pdus": texts(events), "auth_chain": texts(chain)})
}

// serveStateIDs gives the ids of what serveState gives (E-11, P-87).
func (e *Engine) serveStateIDs(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	events, chain, err := e.requestedState(ctx, r)
	if err != nil {
		return transport.Reply{}, err
	}
	return transport.JSON(map[string]any{"pdu_ids": idsOf(events), "auth_chain_ids": idsOf(chain)})
}

func (e *Engine) requestedState(ctx context.Context, r *transport.Request) (events, chain []*event.Event, err error) {
	rec, err := e.requested(ctx, r, r.Query.Get("event_id"))
	if err != nil {
		return nil, nil, err
	}
	if events, err = e.stateEvents(ctx, rec.before); err != nil {
		return nil, nil, err
	}
	chain, err = e.authChain(ctx, events)
	return events, chain, err
}

// serveEventAuth gives the auth chain of one event (E-07, P-88).
func (e *Engine) serveEventAuth(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	rec, err := e.requested(ctx, r, r.Params["eventID"])
	if err != nil {
		return transport.Reply{}, err
	}
	chain, err := e.authChain(ctx, []*event.Event{rec.event})
	if err != nil {
		return transport.Reply{}, err
	}
	return transport.JSON(map[string]any{"auth_chain": texts(chain)})
}

// requested finds the event that a request names in a room, with its place in the graph. An event of another room is answered
// exactly like one that does not exist (P-89).
func (e *Engine) requested(ctx context.Context, r *transport.Request, id string) (*record, error) {
	head, err := e.shared(ctx, r)
	if err != nil {
		return nil, err
	}
	rec, err := e.storedRecord(ctx, ident.EventID(id))
	if errors.Is(err, ErrUnknownEvent) {
		return nil, errUnknown()
	}
	if err != nil {
		return nil, err
	}
	if rec.event.RoomID() != head.id || !rec.inGraph || rec.outcome == Rejected {
		return nil, errUnknown()
	}
	return rec, nil
}

// shared is the room in the path, which the other server must have a joined user in and not be kept out of by the room's list
// (M-93). A room that we do not know is one that it is not in (P-89).
func (e *Engine) shared(ctx context.Context, r *transport.Request) (*room, error) {
	head, err := e.readHead(ctx, ident.RoomID(r.Params["roomID"]), false)
	if err != nil {
		return nil, err
	}
	if head == nil || head.servers[r.Origin] == 0 {
		return nil, refuse(http.StatusForbidden, spec.ErrorForbidden, "your server is not in the room")
	}
	if err := e.checkAccess(ctx, head, r.Origin); err != nil {
		return nil, err
	}
	return head, nil
}

// transactionOf is events in the shape of a transaction.
func (e *Engine) transactionOf(events []*event.Event) (transport.Reply, error) {
	return transport.JSON(map[string]any{"origin": e.self, "origin_server_ts": nowMS(), "pdus": texts(events)})
}

func errUnknown() *transport.Error { return notFound("event or state not known") }

func idsOf(events []*event.Event) []ident.EventID {
	ids := make([]ident.EventID, len(events))
	for i, x := range events {
		ids[i] = x.ID()
	}
	return ids
}

// texts is the events as they go into an answer.
func texts(events []*event.Event) []json.RawMessage {
	list := make([]json.RawMessage, len(events))
	for i, x := range events {
		list[i] = x.JSON()
	}
	return list
}
