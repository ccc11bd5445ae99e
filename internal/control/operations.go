// SPDX-License-Identifier: Apache-2.0

package control

import (
	"encoding/json"

	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/transport/ident"
)

// operation is one thing that can be asked for, with the types of question and answer.
type operation[Question, Answer any] struct{ name string }

// Everything that can be asked for. The names are stable.
var (
	opInfo       = operation[struct{}, Info]{"info"}
	opCreateRoom = operation[CreateRoom, Room]{"room/create"}
	opJoin       = operation[Membership, Room]{"room/join"}
	opLeave      = operation[Membership, Room]{"room/leave"}
	opSend       = operation[Send, Sent]{"send"}
	opAlarms     = operation[inspect.AlarmQuery, []inspect.Alarm]{"room/alarms"}
	opBackfill   = operation[RoomRef, Backfilled]{"room/backfill"}
	opCompare    = operation[Compare, Comparison]{"room/compare"}
	opRefused    = operation[inspect.RefusedQuery, []inspect.Refused]{"event/ls"}
	opExplain    = operation[EventRef, inspect.Explanation]{"event/explain"}
	opJudge      = operation[EventRef, inspect.Explanation]{"event/judge"}
	opJourney    = operation[EventRef, inspect.Journey]{"event/timeline"}
	opFetch      = operation[FetchEvent, Fetched]{"event/fetch"}
	opRedact     = operation[Redact, Sent]{"redact"}
	opRooms      = operation[struct{}, []inspect.Room]{"room/ls"}
	opRoom       = operation[ShowRoom, inspect.RoomDetail]{"room/show"}
	opTimeline   = operation[inspect.TimelineQuery, []inspect.Event]{"room/timeline"}
	opState      = operation[inspect.StateQuery, []inspect.Event]{"room/state"}
	opGraph      = operation[inspect.GraphQuery, []inspect.Node]{"room/graph"}
	opHeads      = operation[RoomRef, []inspect.Head]{"room/heads"}
	opGaps       = operation[RoomRef, inspect.Gaps]{"room/gaps"}
	opEvent      = operation[GetEvent, inspect.Event]{"event/get"}
)

// Info is whom one talks to.
type Info struct {
	ServerName string `json:"server_name"`
	Version    string `json:"version,omitempty"`
	PID        int    `json:"pid,omitempty"` // 0 when there is no server, only its file
}

// CreateRoom orders a room. Users are given as localpart or full id here and below.
type CreateRoom struct {
	Creator   string `json:"user"`
	Version   string `json:"room_version,omitempty"` // "" for the default
	Name      string `json:"name,omitempty"`
	Topic     string `json:"topic,omitempty"`
	Public    bool   `json:"public,omitempty"`     // anyone may join
	LocalOnly bool   `json:"local_only,omitempty"` // no other server may ever take part
}

// Membership orders a join or a leave. Via names servers that are in the room, for a room that is not known here.
type Membership struct {
	User string   `json:"user"`
	Room string   `json:"room_id"`
	Via  []string `json:"via,omitempty"`
}

// Room is the answer to what was ordered of a room.
type Room struct {
	RoomID  string `json:"room_id"`
	Version string `json:"room_version,omitempty"`
	User    string `json:"user_id"`
}

// Send orders an event: a message, or with a state key a piece of room state.
type Send struct {
	User     string          `json:"user"`
	Room     string          `json:"room_id"`
	Type     string          `json:"type"`
	StateKey *string         `json:"state_key,omitempty"`
	Content  json.RawMessage `json:"content"` // an object
}

// Redact orders the redaction of an event.
type Redact struct {
	User   string `json:"user"`
	Room   string `json:"room_id"`
	Event  string `json:"event_id"`
	Reason string `json:"reason,omitempty"`
}

// Sent is the answer.
type Sent struct {
	RoomID  string `json:"room_id"`
	EventID string `json:"event_id"`
	User    string `json:"user_id"`
}

// ShowRoom asks for a room, with its current state or without.
type ShowRoom struct {
	RoomID string `json:"room_id"`
	State  bool   `json:"state,omitempty"`
}

// RoomRef names a room. Limit is the most rows of a list, 0 for the usual number.
type RoomRef struct {
	RoomID string `json:"room_id"`
	Limit  int    `json:"limit,omitempty"`
}

// EventRef names an event.
type EventRef struct {
	EventID string `json:"event_id"`
}

// GetEvent asks for an event. With Wait a server waits so long for it to arrive and be judged, in ms.
type GetEvent struct {
	EventID string `json:"event_id"`
	Wait    int64  `json:"wait_ms,omitempty"`
}

// Compare asks for our state of a room beside that of another server.
type Compare struct {
	RoomID string `json:"room_id"`
	Server string `json:"server"`
}

// Comparison is the state before an event that both servers have.
type Comparison struct {
	RoomID      string       `json:"room_id"`
	Server      string       `json:"server"`
	EventID     string       `json:"event_id"`
	Same        int          `json:"same"` // slots with the same event
	Differences []Difference `json:"differences"`
	// Unread is events of the other server's state of which it is not known what they are about: it did not give them.
	Unread []ident.EventID `json:"unread"`
}

// Difference is a piece of state that the two do not agree on. An empty event id stands for an empty slot.
type Difference struct {
	Type     string        `json:"type"`
	StateKey string        `json:"state_key"`
	Ours     ident.EventID `json:"ours"`
	Theirs   ident.EventID `json:"theirs"`
	// Known is what became here of their event, "missing" if it never came.
	Known string `json:"known,omitempty"`
}

// Backfilled is how far the history of a room was fetched by one order.
type Backfilled struct {
	RoomID string `json:"room_id"`
	Found  int    `json:"found"` // events that got their place in the graph
	Total  int    `json:"total"` // by all orders
	Depth  int64  `json:"depth"` // the smallest among them
	Gaps   int    `json:"gaps"`  // events whose past is still not here
	Server string `json:"server,omitempty"`
	Note   string `json:"note,omitempty"` // how the last question to a server ended
}

// FetchEvent asks another server for an event. Keep has it judged and stored like one that was missing.
type FetchEvent struct {
	EventID string `json:"event_id"`
	Server  string `json:"server"`
	Keep    bool   `json:"keep,omitempty"`
}

// Fetched is an event as another server has it.
type Fetched struct {
	EventID string          `json:"event_id"`
	Server  string          `json:"server"`
	Known   string          `json:"known"` // what became of it here, "missing" if it never came
	Kept    bool            `json:"kept"`
	Checks  []inspect.Check `json:"checks"`
	PDU     json.RawMessage `json:"pdu"` // null if what came is no JSON
}
