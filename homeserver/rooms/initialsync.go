// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
)

// snapshot is a room at one moment, as clients get it.
type snapshot struct {
	Room        string            `json:"room_id"`
	Membership  string            `json:"membership,omitempty"` // none of who only looks in
	Visibility  string            `json:"visibility"`           // in the directory
	Messages    span              `json:"messages"`
	State       []json.RawMessage `json:"state"`
	AccountData []dataEvent       `json:"account_data"`
}

// span is a piece of a timeline, oldest first, with the tokens to go on at either end.
type span struct {
	Start string            `json:"start"`
	End   string            `json:"end"`
	Chunk []json.RawMessage `json:"chunk"`
}

type dataEvent struct {
	Type    string          `json:"type"`
	Content json.RawMessage `json:"content"`
}

// initialSync is GET /rooms/{roomId}/initialSync, which is deprecated: clients show rooms by it that their user is not in. It fetches nothing
// from other servers.
func (r *Rooms) initialSync(ctx context.Context, q *api.Request) (api.Reply, error) {
	x, err := r.read(ctx, q)
	if err != nil {
		return api.Reply{}, err
	}
	limit, err := q.Int("limit", defaultPage)
	if err != nil {
		return api.Reply{}, err
	}
	reply := snapshot{Room: string(x.room), Visibility: "private", State: []json.RawMessage{}, AccountData: []dataEvent{}}
	if reply.Messages, err = x.newest(ctx, min(limit, maxPage)); err != nil {
		return api.Reply{}, refusal(err)
	}
	state, err := x.view.all(ctx)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	for _, e := range state {
		reply.State = append(reply.State, appendState(nil, e))
	}
	member, err := x.view.one(ctx, event.StateKey{Type: memberType, Key: string(q.User)})
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	reply.Membership = membershipOf(member)
	err = r.store.View(ctx, func(tx *persistence.Tx) error {
		is, err := isPublished(tx, x.room)
		if err != nil {
			return err
		}
		if is {
			reply.Visibility = "public"
		}
		items, err := accountdata.InRoom(tx, q.User, x.room)
		for _, item := range items {
			reply.AccountData = append(reply.AccountData, dataEvent{Type: item.Type, Content: item.Content})
		}
		return err
	})
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(reply)
}

// newest is the end of the room's timeline.
func (x *reading) newest(ctx context.Context, limit int) (span, error) {
	now := roomview.Token{Position: x.now}
	page, err := x.r.rooms.Page(ctx, roomview.PageQuery{Room: x.nid, From: now, Choose: x.choose, Limit: limit})
	if err != nil {
		return span{}, err
	}
	slices.Reverse(page.Events)
	chunk, err := x.write(ctx, page.Events)
	return span{Start: page.End.String(), End: now.String(), Chunk: chunk}, err
}
