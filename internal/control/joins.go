// SPDX-License-Identifier: Apache-2.0

package control

import "context"

var opJoins = operation[struct{}, []Join]{"room/joins"}

// Join is a join over other servers that is under way. Times are in ms.
type Join struct {
	RoomID string `json:"room_id"`
	User   string `json:"user_id"`
	Via    string `json:"via"`    // that is being asked, "" before the first
	Step   string `json:"step"`   // asks, waits or verifies: see messaging.JoinStep
	Events int    `json:"events"` // of state and auth chain that have come
	Tried  int    `json:"tried"`  // servers, that one included
	Began  int64  `json:"began"`
	Since  int64  `json:"since"` // of the step
}

// Joins lists the joins that are under way, the oldest first.
func (c *Client) Joins(ctx context.Context) ([]Join, error) { return ask(ctx, c, opJoins, struct{}{}) }

func (h *handler) joins(context.Context, struct{}) ([]Join, error) {
	if h.server == nil {
		return nil, errNoServer
	}
	list := []Join{}
	for _, j := range h.server.Joins() {
		list = append(list, Join{
			RoomID: string(j.Room), User: string(j.User), Via: string(j.Via), Step: string(j.Step), Events: j.Events, Tried: j.Tried,
			Began: j.Began.UnixMilli(), Since: j.Since.UnixMilli(),
		})
	}
	return list, nil
}
