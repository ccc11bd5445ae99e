// SPDX-License-Identifier: Apache-2.0

package push

import (
	"context"
	"encoding/json"
	"math"
	"strconv"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// notification is one of /notifications.
type notification struct {
	Room    ident.RoomID      `json:"room_id"`
	Event   json.RawMessage   `json:"event"`
	Actions []json.RawMessage `json:"actions"`
	Read    bool              `json:"read"` // never: what is read is forgotten
	TS      int64             `json:"ts"`
}

func (p *Push) notifications(ctx context.Context, r *api.Request) (api.Reply, error) {
	const most, usual = 100, 20
	limit, err := r.Int("limit", usual)
	if err != nil {
		return api.Reply{}, err
	}
	before := int64(math.MaxInt64)
	if from := r.Query.Get("from"); from != "" {
		if before, err = strconv.ParseInt(from, 10, 64); err != nil {
			return api.Reply{}, api.InvalidParam("from: %q is no token of this endpoint", from)
		}
	}
	var reply struct {
		Next string         `json:"next_token,omitempty"`
		List []notification `json:"notifications"`
	}
	reply.List = []notification{}
	limit = max(1, min(limit, most))
	err = p.store.View(ctx, func(tx *persistence.Tx) error {
		list, err := notices(tx, r.User, persistence.Position(before), r.Query.Get("only") == "highlight", limit)
		if err != nil {
			return err
		}
		for _, n := range list {
			stored, found, err := tx.Event(n.Event)
			if err != nil {
				return err
			}
			if !found {
				continue
			}
			event, err := p.show(stored)
			if err != nil {
				return err
			}
			reply.List = append(reply.List, notification{Room: n.Room, Event: event, Actions: n.Actions, TS: stored.TS})
		}
		if len(list) == limit {
			reply.Next = strconv.FormatInt(int64(list[limit-1].Position), 10)
		}
		return nil
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(reply)
}
