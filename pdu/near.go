// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// Near is the event of a room that is closest to a time.
type Near struct {
	Event *event.Event
	From  ident.ServerName // who gave it, "" for one that is in the room's graph here
	Asked []string         // for one that may not be the closest, or came from elsewhere: whom was asked, and how that ended
}

// EventNear finds the accepted event whose origin_server_ts, in ms, is closest to ts, at it or after it (before it, if not forward).
// Where that borders on missing history others are asked, the servers that have been in the room longest first (P-92); what one of
// them names counts if it is nearer, is given, well signed, and of that time. It is not stored: its place in the graph is not known.
// ErrUnknownRoom, ErrUnknownEvent.
func (e *Engine) EventNear(ctx context.Context, id ident.RoomID, ts int64, forward bool) (Near, error) {
	head, err := e.knownRoom(ctx, id)
	if err != nil {
		return Near{}, err
	}
	at := moment{ts, forward}
	local, err := e.nearest(ctx, head, at, func(*record) (bool, error) { return true, nil })
	if err != nil {
		return Near{}, err
	}
	near := Near{}
	if local != nil {
		near.Event = local.event
	}
	gap, err := e.bordersGap(ctx, head, ts)
	if err == nil && gap {
		err = e.askNear(ctx, head, at, &near)
	}
	if err != nil {
		return Near{}, err
	}
	if near.Event == nil {
		return near, fmt.Errorf("event of %s near %d: %w", id, ts, ErrUnknownEvent)
	}
	return near, nil
}

// moment is what an event is sought near: at a time or after it, or at it or before it.
type moment struct {
	ts      int64
	forward bool
}

// nearer says that an event of a time is on the right side, and closer than the best one so far, if there is one.
func (m moment) nearer(ts int64, best *event.Event) bool {
	if m.forward {
		return ts >= m.ts && (best == nil || ts < best.OriginServerTS())
	}
	return ts <= m.ts && (best == nil || ts > best.OriginServerTS())
}

// nearest is the closest accepted event that may be told, nil if there is none among the first few.
func (e *Engine) nearest(ctx context.Context, head *room, at moment, may func(*record) (bool, error)) (*record, error) {
	for looked := 0; looked < maxWalked; looked += nearPage {
		page, err := e.eventsByTime(ctx, head, at, nearPage)
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			if r.outcome != Accepted {
				continue
			}
			if ok, err := may(r); err != nil || ok {
				return r, err
			}
		}
		if len(page) < nearPage {
			return nil, nil
		}
		// The last time is looked at again, unless all of the page is of it.
		first, last := page[0].event.OriginServerTS(), page[nearPage-1].event.OriginServerTS()
		switch {
		case first != last:
			at.ts = last
		case at.forward && last < math.MaxInt64:
			at.ts = last + 1
		case !at.forward && last > math.MinInt64:
			at.ts = last - 1
		default:
			return nil, nil
		}
	}
	return nil, nil
}

func (e *Engine) eventsByTime(ctx context.Context, head *room, at moment, limit int) (list []*record, err error) {
	var rows []persistence.Event
	err = e.store.View(ctx, func(tx *persistence.Tx) (err error) {
		rows, err = tx.EventsByTime(head.nid, at.ts, at.forward, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("events of %s near %d: %w", head.id, at.ts, err)
	}
	for _, row := range rows {
		r, err := recordOf(row)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// bordersGap says that history is missing before one of the first few events at a time or after it: what is sought may be in it,
// whichever way one looks.
func (e *Engine) bordersGap(ctx context.Context, head *room, ts int64) (bool, error) {
	if !head.gapped {
		return false, nil
	}
	later, err := e.eventsByTime(ctx, head, moment{ts, true}, nearGap)
	if err != nil {
		return false, err
	}
	var parents []ident.EventID
	for _, r := range later {
		parents = append(parents, r.event.PrevEvents()...)
	}
	found, err := e.gapsAmong(ctx, head.nid, parents)
	return slices.Contains(slices.Collect(maps.Values(found)), true), err
}

// askNear asks other servers for a nearer event until one has it.
func (e *Engine) askNear(ctx context.Context, head *room, at moment, near *Near) error {
	servers, err := e.longestJoined(ctx, head)
	if err != nil {
		return err
	}
	q := e.inquire(head, nearBudget)
	for _, server := range servers[:min(len(servers), maxAskedServers)] {
		how := "has none that is nearer"
		found, err := q.nearEvent(ctx, server, at, near.Event)
		if err != nil {
			how = err.Error()
		} else if found != nil {
			near.Event, near.From, how = found, server, "has "+string(found.ID())
		}
		near.Asked = append(near.Asked, fmt.Sprintf("%s: %s", server, how))
		if found != nil {
			break
		}
	}
	return context.Cause(ctx)
}

// nearEvent asks a server for the event that it thinks closest (E-13), and for that event if it is nearer than the best so far.
func (q *inquiry) nearEvent(ctx context.Context, server ident.ServerName, at moment, best *event.Event) (*event.Event, error) {
	dir := "b"
	if at.forward {
		dir = "f"
	}
	body, err := q.ask(ctx, server, "event near a time", transport.Call{
		Method: http.MethodGet, Path: federationPath("timestamp_to_event", string(q.head.id)), Timeout: requestTimeout, MaxReply: nearReply,
		Query: url.Values{"ts": {strconv.FormatInt(at.ts, 10)}, "dir": {dir}},
	})
	if err != nil {
		return nil, err
	}
	id, ts, err := readNear(body)
	if err != nil || !at.nearer(ts, best) {
		return nil, err
	}
	fetched, err := q.e.FetchEvent(ctx, server, id, false)
	if err != nil {
		return nil, err
	}
	for _, check := range fetched.Checks {
		if !check.OK {
			return nil, fmt.Errorf("event %s: %s (%s)", id, check.Detail, check.Rule)
		}
	}
	switch x := fetched.Event; {
	case x.RoomID() != q.head.id:
		return nil, fmt.Errorf("event %s is of another room", id)
	case x.OriginServerTS() != ts:
		return nil, fmt.Errorf("event %s is not of the time that was said", id)
	case fetched.Known == Rejected:
		return nil, fmt.Errorf("event %s has been rejected here", id)
	}
	return fetched.Event, nil
}

// readNear reads an answer to timestamp_to_event.
func readNear(body []byte) (id ident.EventID, ts int64, err error) {
	var answer struct {
		ID *string `json:"event_id"`
		TS *int64  `json:"origin_server_ts"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", 0, fmt.Errorf("read event near a time: %w", err)
	}
	if answer.ID == nil || answer.TS == nil {
		return "", 0, errors.New("read event near a time: event_id or origin_server_ts is missing")
	}
	id, err = ident.ParseEventID(*answer.ID)
	return id, *answer.TS, err
}

// serveNear gives the id of the event that is closest to a time, of those that the other server may see (E-13, P-90). What is
// missing here is not looked for elsewhere on its behalf.
func (e *Engine) serveNear(ctx context.Context, r *transport.Request) (transport.Reply, error) {
	head, err := e.shared(ctx, r)
	if err != nil {
		return transport.Reply{}, err
	}
	at, err := readMoment(r.Query)
	if err != nil {
		return transport.Reply{}, err
	}
	sight := e.sightOf(ctx, head, r.Origin)
	found, err := e.nearest(ctx, head, at, func(r *record) (bool, error) {
		decision, err := sight.decide(r)
		return decision.Visible, err
	})
	if err != nil {
		return transport.Reply{}, err
	}
	if found == nil {
		return transport.Reply{}, notFound("no event at that time, or on that side of it")
	}
	return transport.JSON(map[string]any{"event_id": found.event.ID(), "origin_server_ts": found.event.OriginServerTS()})
}

func readMoment(query url.Values) (moment, error) {
	if err := required(query, "ts", "dir"); err != nil {
		return moment{}, err
	}
	ts, err := strconv.ParseInt(query.Get("ts"), 10, 64)
	if err != nil {
		return moment{}, invalidParam("ts is not a number of milliseconds")
	}
	switch dir := query.Get("dir"); dir {
	case "f", "b":
		return moment{ts, dir == "f"}, nil
	}
	return moment{}, invalidParam("dir is neither f nor b")
}
