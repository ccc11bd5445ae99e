// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transport/ident"
)

// getEvent is GET /rooms/{roomId}/event/{eventId}.
func (r *Rooms) getEvent(ctx context.Context, q *api.Request) (api.Reply, error) {
	x, found, err := r.readEvent(ctx, q)
	if err != nil {
		return api.Reply{}, err
	}
	text, err := x.write(ctx, []*pdu.Placed{found})
	if err != nil {
		return api.Reply{}, err
	}
	return api.Reply{Body: text[0]}, nil
}

// readEvent begins to read, at the event that the path names.
func (r *Rooms) readEvent(ctx context.Context, q *api.Request) (*reading, *pdu.Placed, error) {
	id, err := eventOf(q)
	if err != nil {
		return nil, nil, err
	}
	x, err := r.read(ctx, q)
	if err != nil {
		return nil, nil, err
	}
	found, err := x.event(ctx, id)
	return x, found, err
}

// getContext is GET /rooms/{roomId}/context/{eventId}: an event, what is before and after it, and the state at the end.
func (r *Rooms) getContext(ctx context.Context, q *api.Request) (api.Reply, error) {
	limit, err := q.Int("limit", defaultPage)
	if err != nil {
		return api.Reply{}, err
	}
	x, found, err := r.readEvent(ctx, q)
	if err != nil {
		return api.Reply{}, err
	}
	limit = min(limit, maxPage)
	before, err := r.rooms.Around(ctx, found, x.now, false, limit/2, x.choose)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	after, err := r.rooms.Around(ctx, found, x.now, true, limit-limit/2, x.choose)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	var reply struct {
		Start  string            `json:"start"`
		End    string            `json:"end"`
		Event  json.RawMessage   `json:"event"`
		Before []json.RawMessage `json:"events_before"`
		After  []json.RawMessage `json:"events_after"`
		State  []json.RawMessage `json:"state"`
	}
	reply.Start, reply.End = before.End.String(), after.End.String()
	all := append(append(before.Events, found), after.Events...)
	texts, err := x.write(ctx, all)
	if err != nil {
		return api.Reply{}, err
	}
	at := len(before.Events)
	reply.Before, reply.Event, reply.After = texts[:at], texts[at], texts[at+1:]
	reply.State, err = x.stateAfter(ctx, all)
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(reply)
}

// stateAfter is the state after the last of some events, with the memberships of their senders only where members are loaded lazily.
func (x *reading) stateAfter(ctx context.Context, events []*pdu.Placed) ([]json.RawMessage, error) {
	root := events[len(events)-1].After
	slots, err := x.r.engine.StateOf(ctx, root)
	if err != nil {
		return nil, err
	}
	ids := make([]ident.EventID, 0, len(slots))
	for slot, id := range slots {
		if slot.Type != memberType || !x.filter.LazyLoadMembers {
			ids = append(ids, id)
		}
	}
	list, err := x.states(ctx, ids)
	if err != nil || !x.filter.LazyLoadMembers {
		return list, err
	}
	members, err := x.senders(ctx, root, events)
	return append(list, members...), err
}
