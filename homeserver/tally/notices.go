// SPDX-License-Identifier: Apache-2.0

package tally

import (
	"context"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/push"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	// defaultNotices is how many notifications an answer has where the client does not say, and maxNotices how many at most.
	defaultNotices = 20
	maxNotices     = 100
)

// Events makes events of what is stored.
type Events interface {
	PlacedOf(row persistence.Event) (pdu.Placed, error)
}

// Notices tells users what notified them.
type Notices struct {
	view   *roomview.View
	events Events
	store  *persistence.Store
}

// NewNotices makes the endpoint.
func NewNotices(view *roomview.View, events Events, store *persistence.Store) *Notices {
	return &Notices{view: view, events: events, store: store}
}

// Routes is the endpoint.
func (n *Notices) Routes() []api.Route {
	return []api.Route{{Method: "GET", Pattern: "/_matrix/client/v3/notifications", Handle: n.list}}
}

// shown is a notification as clients get it. It has no profile_tag: no rule here is of a profile.
type shown struct {
	Room    ident.RoomID    `json:"room_id"`
	Event   json.RawMessage `json:"event"`
	Actions json.RawMessage `json:"actions"`
	Read    bool            `json:"read"`
	TS      int64           `json:"ts"`
}

// noticed is a notification with its event.
type noticed struct {
	push.Notice
	row persistence.Event
}

// list is GET /notifications (CS "Listing Notifications"). What the user may no longer see is left out, whatever it was.
func (n *Notices) list(ctx context.Context, r *api.Request) (api.Reply, error) {
	limit, err := r.Int("limit", defaultNotices)
	if err != nil {
		return api.Reply{}, err
	}
	limit = max(1, min(limit, maxNotices))
	before := int64(math.MaxInt64)
	if from := r.Query.Get("from"); from != "" {
		if before, err = strconv.ParseInt(from, 10, 64); err != nil {
			return api.Reply{}, api.InvalidParam("from: %.40q is no token of this endpoint", from)
		}
	}
	if _, err := n.view.Now(ctx); err != nil { // what a client knows of is counted by then
		return api.Reply{}, err
	}
	list, next, err := n.read(ctx, r.User, persistence.Position(before), r.Query.Get("only") == "highlight", limit)
	if err != nil {
		return api.Reply{}, err
	}
	var reply struct {
		Next string  `json:"next_token,omitempty"`
		List []shown `json:"notifications"`
	}
	if next != 0 {
		reply.Next = strconv.FormatInt(int64(next), 10)
	}
	reply.List, err = n.show(ctx, r.User, list)
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(reply)
}

// read gives what notified a user with the events, and the position to go on before, 0 at the end.
func (n *Notices) read(ctx context.Context, user ident.UserID, before persistence.Position, highlights bool, limit int) (list []noticed, next persistence.Position, err error) {
	err = n.store.View(ctx, func(tx *persistence.Tx) error {
		notices, err := push.Notices(tx, user, before, highlights, limit)
		if err != nil {
			return err
		}
		if len(notices) == limit {
			next = notices[limit-1].Position
		}
		for _, notice := range notices {
			rows, err := tx.EventsSince(notice.Position-1, 1)
			if err != nil {
				return err
			}
			if len(rows) == 0 || rows[0].Position != notice.Position {
				continue // it has another position by now: it was delivered once more
			}
			list = append(list, noticed{notice, rows[0]})
		}
		return nil
	})
	return list, next, err
}

// show writes those that the user may see.
func (n *Notices) show(ctx context.Context, user ident.UserID, list []noticed) ([]shown, error) {
	result := make([]shown, 0, len(list))
	format := roomview.Format{Now: time.Now().UnixMilli(), RoomID: true}
	sights := map[ident.RoomID]*roomview.Sight{}
	for _, notice := range list {
		placed, err := n.events.PlacedOf(notice.row)
		if err != nil {
			return nil, err
		}
		room := placed.Event.RoomID()
		if sights[room] == nil {
			if sights[room], err = n.view.Sight(ctx, user, room, math.MaxInt64, ""); err != nil {
				return nil, err
			}
		}
		sees, err := sights[room].Sees(ctx, &placed)
		if err != nil {
			return nil, err
		}
		if !sees {
			continue
		}
		text, err := sights[room].Write(ctx, &placed, format)
		if err != nil {
			return nil, err
		}
		result = append(result, shown{Room: room, Event: text, Actions: notice.Actions, Read: notice.Read, TS: notice.TS})
	}
	return result, nil
}
