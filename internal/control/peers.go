// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"

	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transport/ident"
)

// missing is how an event is called that is not stored.
const missing = "missing"

// compare asks another server for its state of a room.
func (h *handler) compare(ctx context.Context, q Compare) (Comparison, error) {
	if h.server == nil {
		return Comparison{}, errNoServer
	}
	room, err := ident.ParseRoomID(q.RoomID)
	if err != nil {
		return Comparison{}, usage(err)
	}
	server, err := ident.ParseServerName(q.Server)
	if err != nil {
		return Comparison{}, usage(err)
	}
	found, err := h.server.Engine().CompareState(ctx, room, server)
	if err != nil {
		return Comparison{}, err
	}
	c := Comparison{
		RoomID: q.RoomID, Server: q.Server, EventID: string(found.At), Same: found.Same, Differences: []Difference{},
		Unread: append([]ident.EventID{}, found.Unread...),
	}
	for _, d := range found.Differences {
		shown := Difference{Type: d.Slot.Type, StateKey: d.Slot.Key, Ours: d.Ours, Theirs: d.Theirs}
		if d.Theirs != "" {
			shown.Known = knownAs(d.Known)
		}
		c.Differences = append(c.Differences, shown)
	}
	return c, nil
}

// backfill asks other servers for a room's history.
func (h *handler) backfill(ctx context.Context, order RoomRef) (Backfilled, error) {
	if h.server == nil {
		return Backfilled{}, errNoServer
	}
	room, err := ident.ParseRoomID(order.RoomID)
	if err != nil {
		return Backfilled{}, usage(err)
	}
	if order.Limit <= 0 {
		order.Limit = inspect.DefaultLimit
	}
	p, err := h.server.Engine().Backfill(ctx, room, order.Limit)
	if err != nil {
		return Backfilled{}, err
	}
	return Backfilled{
		RoomID: order.RoomID, Found: p.Found, Total: p.Total, Depth: p.Depth, Gaps: len(p.Gaps), Server: string(p.Server), Note: p.Note,
	}, nil
}

// fetch asks another server for an event.
func (h *handler) fetch(ctx context.Context, q FetchEvent) (Fetched, error) {
	if h.server == nil {
		return Fetched{}, errNoServer
	}
	id, err := ident.ParseEventID(q.EventID)
	if err != nil {
		return Fetched{}, usage(err)
	}
	server, err := ident.ParseServerName(q.Server)
	if err != nil {
		return Fetched{}, usage(err)
	}
	found, err := h.server.Engine().FetchEvent(ctx, server, id, q.Keep)
	if err != nil {
		return Fetched{}, err
	}
	f := Fetched{EventID: q.EventID, Server: q.Server, Known: knownAs(found.Known), Kept: q.Keep, Checks: inspect.ChecksOf(found.Checks)}
	if json.Valid(found.PDU) {
		f.PDU = found.PDU
	}
	return f, nil
}

func knownAs(o pdu.Outcome) string {
	if o == pdu.Dropped {
		return missing
	}
	return o.String()
}
