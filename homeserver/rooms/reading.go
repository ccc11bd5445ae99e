// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"time"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/eventfilter"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// reading is a request of a user who reads in a room. It belongs to the request.
type reading struct {
	r       *Rooms
	user    ident.UserID
	room    ident.RoomID
	nid     int64
	now     persistence.Position
	view    view
	sight   *roomview.Sight
	ignored map[ident.UserID]bool // by the user; nil while it is not needed
	format  roomview.Format
	filter  eventfilter.Filter
}

// read finds what a request may read, by the filter in its query.
func (r *Rooms) read(ctx context.Context, q *api.Request) (*reading, error) {
	room, err := roomOf(q)
	if err != nil {
		return nil, err
	}
	x := &reading{r: r, user: q.User, room: room}
	if text := q.Query.Get("filter"); text != "" {
		if err := json.Unmarshal([]byte(text), &x.filter); err != nil {
			return nil, api.InvalidParam("filter: %v", err)
		}
		if x.filter.Terms() > maxFilterTerms {
			return nil, api.InvalidParam("filter: more than %d terms", maxFilterTerms)
		}
	}
	if x.now, err = r.rooms.Now(ctx); err != nil {
		return nil, err
	}
	if x.view, err = r.viewOf(ctx, room, q.User); err != nil {
		return nil, refusal(err)
	}
	if x.nid, err = r.rooms.Number(ctx, room); err != nil {
		return nil, err
	}
	membership, err := r.membership(ctx, room, q.User)
	if err != nil {
		return nil, err
	}
	if membership != "join" {
		membership = "" // how it has been is looked up
	}
	x.sight, err = r.rooms.Sight(ctx, q.User, room, x.now, membership)
	x.format = roomview.Format{Now: time.Now().UnixMilli(), RoomID: true, Transaction: r.transactions(q)}
	return x, err
}

// transactions finds the transaction ids of the device that asks.
func (r *Rooms) transactions(q *api.Request) func(context.Context, *event.Event) (string, error) {
	return func(ctx context.Context, e *event.Event) (txn string, err error) {
		err = r.store.View(ctx, func(tx *persistence.Tx) (err error) {
			txn, err = TransactionOf(tx, q.User, q.Device, e.ID())
			return err
		})
		return txn, err
	}
}

// choose takes what the filter wants and the user may see.
func (x *reading) choose(ctx context.Context, p *pdu.Placed) (roomview.Choice, error) {
	if !x.filter.Wants(p.Event) {
		return roomview.Skip, nil
	}
	sees, err := x.sight.Sees(ctx, p)
	if err != nil || !sees {
		return roomview.Skip, err
	}
	return roomview.Take, nil
}

// event is an event of the room that the user may see; 404 for any other.
func (x *reading) event(ctx context.Context, id ident.EventID) (*pdu.Placed, error) {
	found, err := x.r.engine.Placed(ctx, id)
	if err != nil {
		return nil, refusal(err)
	}
	sees, err := x.sight.Sees(ctx, &found)
	if err != nil {
		return nil, err
	}
	if !sees {
		return nil, api.NotFound("no such event that you can see")
	}
	return &found, nil
}

// bundles gathers what relates to events (S-31).
func (x *reading) bundles(ctx context.Context, events []*pdu.Placed) (roomview.Bundles, error) {
	if x.ignored == nil {
		err := x.r.store.View(ctx, func(tx *persistence.Tx) (err error) {
			x.ignored, err = accountdata.Ignored(tx, x.user)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return x.sight.Bundles(ctx, events, x.ignored)
}

// write is events as the user gets them.
func (x *reading) write(ctx context.Context, events []*pdu.Placed) ([]json.RawMessage, error) {
	format := x.format
	var err error
	if format.Bundles, err = x.bundles(ctx, events); err != nil {
		return nil, err
	}
	list := make([]json.RawMessage, len(events))
	for i, p := range events {
		if list[i], err = x.sight.Write(ctx, p, format); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// senders is the memberships, in a state, of those who have sent events; of who is not in it, that of now.
func (x *reading) senders(ctx context.Context, root state.Root, events []*pdu.Placed) ([]json.RawMessage, error) {
	now, err := x.r.rooms.StateAsOf(ctx, x.nid, x.now)
	if err != nil {
		return nil, err
	}
	var ids []ident.EventID
	seen := map[ident.UserID]bool{}
	for _, p := range events {
		sender := p.Event.Sender()
		if seen[sender] {
			continue
		}
		seen[sender] = true
		for _, in := range []state.Root{root, now} {
			id, err := x.r.engine.StateIn(ctx, in, event.StateKey{Type: memberType, Key: string(sender)})
			if err != nil {
				return nil, err
			}
			if id != "" {
				ids = append(ids, id)
				break
			}
		}
	}
	return x.states(ctx, ids)
}

// states is state events as the user gets them.
func (x *reading) states(ctx context.Context, ids []ident.EventID) ([]json.RawMessage, error) {
	found, err := x.r.engine.PlacedAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	list := []json.RawMessage{}
	for _, id := range ids {
		if p, ok := found[id]; ok {
			list = append(list, appendState(nil, p.Event))
		}
	}
	return list, nil
}
