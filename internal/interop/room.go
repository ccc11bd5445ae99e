// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// Event is what a client is shown of an event. Content is as received.
type Event struct {
	ID       string          `json:"event_id"`
	RoomID   string          `json:"room_id"` // absent from /sync
	Type     string          `json:"type"`
	Sender   string          `json:"sender"`
	StateKey *string         `json:"state_key"` // nil unless a state event
	Content  json.RawMessage `json:"content"`
}

// Body returns the text of a message, and "" of any other event.
func (e Event) Body() string {
	var content struct {
		Body string `json:"body"`
	}
	if json.Unmarshal(e.Content, &content) != nil {
		return ""
	}
	return content.Body
}

// Membership returns whose membership the event sets and to what, or two empty strings if it is no m.room.member.
func (e Event) Membership() (userID, membership string) {
	var content struct {
		Membership string `json:"membership"`
	}
	if e.Type != "m.room.member" || e.StateKey == nil || json.Unmarshal(e.Content, &content) != nil {
		return "", ""
	}
	return *e.StateKey, content.Membership
}

// roomPath is a path below /rooms/{roomId}, with every segment escaped.
func roomPath(roomID string, segments ...string) string {
	path := "rooms/" + url.PathEscape(roomID)
	for _, segment := range segments {
		path += "/" + url.PathEscape(segment)
	}
	return path
}

// CreateRoom implements [Member] with the preset public_chat.
func (c *Client) CreateRoom(ctx context.Context, version string) (roomID string, err error) {
	return c.createRoom(ctx, version, "public_chat")
}

// CreatePrivateRoom makes a room that only the invited may join.
func (c *Client) CreatePrivateRoom(ctx context.Context, version string) (roomID string, err error) {
	return c.createRoom(ctx, version, "private_chat")
}

func (c *Client) createRoom(ctx context.Context, version, preset string) (roomID string, err error) {
	var reply struct {
		RoomID string `json:"room_id"`
	}
	body := map[string]string{"room_version": version, "preset": preset}
	err = c.call(ctx, http.MethodPost, "createRoom", nil, body, &reply)
	return reply.RoomID, err
}

// Join implements [Member]. The room may be given by alias. An empty via leaves the choice to the server: the right
// thing for an invited user.
func (c *Client) Join(ctx context.Context, roomIDOrAlias, via string) error {
	query := url.Values{}
	if via != "" {
		query.Set("via", via)
		query.Set("server_name", via) // its name before spec v1.12, for older peers
	}
	return c.call(ctx, http.MethodPost, "join/"+url.PathEscape(roomIDOrAlias), query, struct{}{}, nil)
}

// Invite asks a user into a room.
func (c *Client) Invite(ctx context.Context, roomID, userID string) error {
	return c.call(ctx, http.MethodPost, roomPath(roomID, "invite"), nil, map[string]string{"user_id": userID}, nil)
}

// Kick puts a user out of a room, or ends their invitation or knock.
func (c *Client) Kick(ctx context.Context, roomID, userID string) error {
	return c.call(ctx, http.MethodPost, roomPath(roomID, "kick"), nil, map[string]string{"user_id": userID}, nil)
}

// Knock asks the members of a room to let the user in.
func (c *Client) Knock(ctx context.Context, roomID, via string) error {
	query := url.Values{"via": {via}, "server_name": {via}}
	return c.call(ctx, http.MethodPost, "knock/"+url.PathEscape(roomID), query, struct{}{}, nil)
}

// Leave leaves a room, or refuses an invitation to it.
func (c *Client) Leave(ctx context.Context, roomID string) error {
	return c.call(ctx, http.MethodPost, roomPath(roomID, "leave"), nil, struct{}{}, nil)
}

// Send implements [Member].
func (c *Client) Send(ctx context.Context, roomID, body string) (eventID string, err error) {
	var reply struct {
		EventID string `json:"event_id"`
	}
	path := roomPath(roomID, "send", "m.room.message", c.txnID())
	content := map[string]string{"msgtype": "m.text", "body": body}
	err = c.call(ctx, http.MethodPut, path, nil, content, &reply)
	return reply.EventID, err
}

// SetState sends a state event and returns its ID.
func (c *Client) SetState(ctx context.Context, roomID, eventType, stateKey string, content any) (string, error) {
	var reply struct {
		EventID string `json:"event_id"`
	}
	err := c.call(ctx, http.MethodPut, roomPath(roomID, "state", eventType, stateKey), nil, content, &reply)
	return reply.EventID, err
}

// Redact has an event stripped of its content and returns the ID of the redaction.
func (c *Client) Redact(ctx context.Context, roomID, eventID string) (string, error) {
	var reply struct {
		EventID string `json:"event_id"`
	}
	err := c.call(ctx, http.MethodPut, roomPath(roomID, "redact", eventID, c.txnID()), nil, struct{}{}, &reply)
	return reply.EventID, err
}

// Event is one event as the client's server shows it.
func (c *Client) Event(ctx context.Context, roomID, eventID string) (Event, error) {
	var e Event
	err := c.call(ctx, http.MethodGet, roomPath(roomID, "event", eventID), nil, nil, &e)
	return e, err
}

// State returns the room's current state as the client's server sees it, in no order.
func (c *Client) State(ctx context.Context, roomID string) ([]Event, error) {
	var events []Event
	err := c.call(ctx, http.MethodGet, roomPath(roomID, "state"), nil, nil, &events)
	return events, err
}

// Members returns the IDs of the joined users, sorted. Synapse answers only once it has all members, even if it joined
// with partial state.
func (c *Client) Members(ctx context.Context, roomID string) ([]string, error) {
	var reply struct {
		Joined map[string]json.RawMessage `json:"joined"`
	}
	if err := c.call(ctx, http.MethodGet, roomPath(roomID, "joined_members"), nil, nil, &reply); err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(reply.Joined)), nil
}

// Messages returns up to limit events, newest first, asking other servers for what is missing.
func (c *Client) Messages(ctx context.Context, roomID string, limit int) ([]Event, error) {
	var reply struct {
		Chunk []Event `json:"chunk"`
	}
	query := url.Values{"dir": {"b"}, "limit": {strconv.Itoa(limit)}}
	err := c.call(ctx, http.MethodGet, roomPath(roomID, "messages"), query, nil, &reply)
	return reply.Chunk, err
}

// History goes back through a room's events, asking other servers for what is missing, until visit returns false or there is
// no more.
func (c *Client) History(ctx context.Context, roomID string, visit func(Event) bool) error {
	query := url.Values{"dir": {"b"}, "limit": {"100"}}
	for {
		var reply struct {
			Chunk []Event `json:"chunk"`
			End   string  `json:"end"`
		}
		if err := c.call(ctx, http.MethodGet, roomPath(roomID, "messages"), query, nil, &reply); err != nil {
			return err
		}
		for _, e := range reply.Chunk {
			if !visit(e) {
				return nil
			}
		}
		if reply.End == "" || reply.End == query.Get("from") {
			return nil
		}
		query.Set("from", reply.End)
	}
}
