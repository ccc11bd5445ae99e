// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Routes is the endpoints by which other servers get events of rooms that they are in (E-07 to E-13).
func (e *Engine) Routes() []transport.Route {
	const v1 = "/_matrix/federation/v1/"
	return []transport.Route{
		{Method: http.MethodGet, Pattern: v1 + "event_auth/:roomID/:eventID", Handle: e.limited(e.serveEventAuth)},
		{Method: http.MethodGet, Pattern: v1 + "backfill/:roomID", Handle: e.limited(e.serveBackfill)},
		{Method: http.MethodPost, Pattern: v1 + "get_missing_events/:roomID", Handle: e.limited(e.serveMissingEvents)},
		{Method: http.MethodGet, Pattern: v1 + "state/:roomID", Handle: e.limited(e.serveState)},
		{Method: http.MethodGet, Pattern: v1 + "state_ids/:roomID", Handle: e.limited(e.serveStateIDs)},
		{Method: http.MethodGet, Pattern: v1 + "event/:eventID", Handle: e.limited(e.serveEvent)},
		{Method: http.MethodGet, Pattern: v1 + "timestamp_to_event/:roomID", Handle: e.limited(e.serveNear)},
	}
}

// serveEvent gives one event (E-12). The path names no room, so an event of a room that the other server is not in is answered
// like one that does not exist.
//
// State is given whole, whatever the history's visibility: /state gives it too, to whom /state_ids has named it, and a server that
// took a redacted event into its state would keep that. Everything else is redacted where the server may not see it (P-90), and not
// given while it is not known whether it may.
func (e *Engine) serveEvent(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	rec, err := e.storedRecord(ctx, ident.EventID(r.Params["eventID"]))
	if errors.Is(err, ErrUnknownEvent) {
		return transport.Reply{}, errUnknown()
	}
	if err != nil {
		return transport.Reply{}, err
	}
	head, err := e.readHead(ctx, rec.event.RoomID(), false)
	if err != nil {
		return transport.Reply{}, err
	}
	if head == nil || head.servers[r.Origin] == 0 || !rec.servable() {
		return transport.Reply{}, errUnknown()
	}
	var denied *transport.Error
	if err := e.checkAccess(ctx, head, r.Origin); errors.As(err, &denied) {
		return transport.Reply{}, errUnknown()
	} else if err != nil {
		return transport.Reply{}, err
	}
	if _, isState := rec.event.Slot(); isState {
		return e.transactionOf([]*event.Event{rec.event})
	}
	shown, err := e.sightOf(ctx, head, r.Origin).shown([]*record{rec})
	if err != nil {
		return transport.Reply{}, err
	}
	return e.transactionOf(shown)
}

// servable says that other servers may be given the event. Rejected ones never are (P-31), and outliers only if they are state:
// then they are given with states and auth chains too, or were asked for because somebody else gives them so.
func (r *record) servable() bool {
	_, isState := r.event.Slot()
	return (r.outcome == Accepted || r.outcome == SoftFailed) && (r.inGraph || isState)
}

// serveState gives the state before an event with its auth chain (E-10, P-87). It is given whole, whatever the history's visibility:
// a server in the room needs it to judge events by, and gets the like of it for its join.
func (e *Engine) serveState(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	ids, chain, err := e.requestedState(ctx, r)
	if err != nil {
		return transport.Reply{}, err
	}
	return e.eventLists(ctx, part{"auth_chain", chain}, part{"pdus", ids}), nil
}

// serveStateIDs gives the ids of what serveState gives (E-11, P-87). None of the events is read for it.
func (e *Engine) serveStateIDs(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	ids, chain, err := e.requestedState(ctx, r)
	if err != nil {
		return transport.Reply{}, err
	}
	return transport.Reply{Body: appendList(appendList(nil, "auth_chain_ids", quoted(chain)), "pdu_ids", quoted(ids))}, nil
}

func (e *Engine) requestedState(ctx context.Context, r *transport.Request) (ids, chain []ident.EventID, err error) {
	if err := required(r.Query, "event_id"); err != nil {
		return nil, nil, err
	}
	rec, err := e.requested(ctx, r, r.Query.Get("event_id"))
	if err != nil {
		return nil, nil, err
	}
	if !rec.inGraph {
		return nil, nil, errUnknown()
	}
	head, err := e.knownRoom(ctx, rec.event.RoomID())
	if err != nil {
		return nil, nil, err
	}
	if head.partial != nil {
		return nil, nil, errUnknown()
	}
	ids, chain, err = e.stateAndChain(ctx, rec.before)
	if errors.Is(err, errIncompleteChain) {
		return nil, nil, errUnknown()
	}
	return ids, chain, err
}

// serveEventAuth gives the auth chain of one event (E-07, P-88), also of one whose place in the graph is not known.
func (e *Engine) serveEventAuth(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	rec, err := e.requested(ctx, r, r.Params["eventID"])
	if err != nil {
		return transport.Reply{}, err
	}
	chain, err := e.authChain(ctx, []ident.EventID{rec.event.ID()}, nil)
	if errors.Is(err, errIncompleteChain) {
		return transport.Reply{}, errUnknown()
	}
	if err != nil {
		return transport.Reply{}, err
	}
	return e.eventLists(ctx, part{"auth_chain", chain}), nil
}

// requested finds the event that a request names in a room. An event of another room is answered exactly like one that does not
// exist (P-89), and so is one that is not given.
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
	if rec.event.RoomID() != head.id || !rec.servable() {
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

// quoted is ids as they go into an answer.
func quoted(ids []ident.EventID) []json.RawMessage {
	list, text := make([]json.RawMessage, len(ids)), make([]byte, 0, len(ids)*idSize)
	for i, id := range ids {
		begin := len(text)
		text = canonicaljson.AppendString(text, string(id))
		list[i] = text[begin:len(text):len(text)]
	}
	return list
}

// idSize is the length of an event id of room versions 3 and up, with its quotes.
const idSize = len(`"$"`) + 43

// appendList adds a member with a list to an object, begun with nil. What is in the list is JSON as it is: to have it encoded again
// would cost more than all the rest of an answer.
func appendList(body []byte, name string, list []json.RawMessage) []byte {
	size := len(name) + len(`{"":[]}`)
	for _, text := range list {
		size += len(text) + 1
	}
	if len(body) == 0 {
		body = append(body, '{')
	} else {
		body[len(body)-1] = ','
	}
	body = append(append(append(slices.Grow(body, size), '"'), name...), `":[`...)
	for i, text := range list {
		if i > 0 {
			body = append(body, ',')
		}
		body = append(body, text...)
	}
	return append(body, ']', '}')
}
