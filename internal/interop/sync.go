// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// syncWait is how long the server may hold one /sync, in milliseconds. It is no delay: the server answers at once when
// there is something new.
const syncWait = "5000"

// syncReply is the part of a /sync reply that the bench reads.
type syncReply struct {
	NextBatch string `json:"next_batch"`
	Rooms     struct {
		Join   map[string]syncRoom `json:"join"`
		Leave  map[string]syncRoom `json:"leave"`
		Invite map[string]struct {
			State struct{ Events []Event } `json:"invite_state"`
		} `json:"invite"`
	} `json:"rooms"`
}

type syncRoom struct {
	State    struct{ Events []Event } `json:"state"`
	Timeline struct{ Events []Event } `json:"timeline"`
}

// events lists what a reply shows of one room, whatever the user's membership.
func (r *syncReply) events(roomID string) []Event {
	joined, left := r.Rooms.Join[roomID], r.Rooms.Leave[roomID]
	return slices.Concat(joined.State.Events, joined.Timeline.Events, left.State.Events, left.Timeline.Events,
		r.Rooms.Invite[roomID].State.Events)
}

// Await implements [Member] over /sync.
func (c *Client) Await(ctx context.Context, roomID, eventID string) (Event, error) {
	event, err := c.AwaitMatch(ctx, roomID, func(e Event) bool { return e.ID == eventID })
	if err != nil {
		return Event{}, fmt.Errorf("await %s: %w", eventID, err)
	}
	return event, nil
}

// AwaitBody waits for a message whose text is body.
func (c *Client) AwaitBody(ctx context.Context, roomID, body string) (Event, error) {
	event, err := c.AwaitMatch(ctx, roomID, func(e Event) bool { return e.Body() == body })
	if err != nil {
		return Event{}, fmt.Errorf("await message %q: %w", body, err)
	}
	return event, nil
}

// AwaitMembership waits until the room's events say that userID has that membership. For an invitation, ask the
// invited user's own client.
func (c *Client) AwaitMembership(ctx context.Context, roomID, userID, membership string) (Event, error) {
	event, err := c.AwaitMatch(ctx, roomID, func(e Event) bool {
		user, now := e.Membership()
		return user == userID && now == membership
	})
	if err != nil {
		return Event{}, fmt.Errorf("await %s of %s: %w", membership, userID, err)
	}
	return event, nil
}

// AwaitMatch syncs, from the recent past on, until an event of the room matches. Its error lists what the server showed
// instead.
func (c *Client) AwaitMatch(ctx context.Context, roomID string, match func(Event) bool) (Event, error) {
	filter, err := syncFilter(roomID)
	if err != nil {
		return Event{}, err
	}
	query := url.Values{"filter": {filter}, "timeout": {"0"}}
	var seen []string
	for {
		var reply syncReply
		if err := c.call(ctx, http.MethodGet, "sync", query, nil, &reply); err != nil {
			return Event{}, fmt.Errorf("%s shows %s [%s]: %w", c.UserID, roomID, strings.Join(seen, ", "), err)
		}
		events := reply.events(roomID)
		if i := slices.IndexFunc(events, match); i >= 0 {
			return events[i], nil
		}
		for _, e := range events {
			seen = append(seen, e.Type+" "+e.ID)
		}
		query.Set("since", reply.NextBatch)
		query.Set("timeout", syncWait)
	}
}

// syncFilter asks for one room, including one that the user has left. Members are loaded lazily, because Synapse
// otherwise hides a room until it has fetched all members of it.
func syncFilter(roomID string) (string, error) {
	none := map[string]any{"types": []string{}}
	filter, err := json.Marshal(map[string]any{
		"presence":     none,
		"account_data": none,
		"room": map[string]any{
			"rooms":         []string{roomID},
			"include_leave": true,
			"ephemeral":     none,
			"state":         map[string]any{"lazy_load_members": true},
			"timeline":      map[string]any{"lazy_load_members": true, "limit": 100},
		},
	})
	if err != nil {
		return "", fmt.Errorf("encode filter: %w", err)
	}
	return string(filter), nil
}
