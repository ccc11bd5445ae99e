// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"strconv"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu"
)

// near is GET /_matrix/client/v1/rooms/{roomId}/timestamp_to_event.
func (r *Rooms) near(ctx context.Context, q *api.Request) (api.Reply, error) {
	room, err := roomOf(q)
	if err != nil {
		return api.Reply{}, err
	}
	text, dir := q.Query.Get("ts"), q.Query.Get("dir")
	if text == "" {
		return api.Reply{}, api.MissingParam("ts")
	}
	ts, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return api.Reply{}, api.InvalidParam("ts: %.40q is no number of milliseconds", text)
	}
	if dir != "f" && dir != "b" {
		return api.Reply{}, api.InvalidParam("dir is f or b, not %.40q", dir)
	}
	v, err := r.viewOf(ctx, room, q.User)
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	if v.left != nil {
		return api.Reply{}, errOutside
	}
	found, err := r.engine.EventNear(ctx, room, ts, dir == "f")
	if errors.Is(err, pdu.ErrUnknownEvent) {
		return api.Reply{}, api.NotFound("no event is found on that side of the time")
	}
	if err != nil {
		return api.Reply{}, refusal(err)
	}
	return api.JSON(map[string]any{"event_id": found.Event.ID(), "origin_server_ts": found.Event.OriginServerTS()})
}
