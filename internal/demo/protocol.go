// SPDX-License-Identifier: Apache-2.0

package demo

import "github.com/strata-matrix/strata/transport/ident"

// setup is the first line that a server reads.
type setup struct {
	Name        ident.ServerName `json:"name"`
	Dir         string           `json:"dir"`       // of its data
	Authority   string           `json:"authority"` // directory of the local CA that all servers trust
	RoomVersion string           `json:"room_version"`
}

// task is what an order wants.
type task string

const (
	taskCreate task = "create" // a public room
	taskJoin   task = "join"   // Room over Via
	taskSay    task = "say"    // a message to Room
	taskTopic  task = "topic"  // a new topic of Room: an event that is state
	taskState  task = "state"  // of Room
	taskSent   task = "sent"   // all transactions that it has sent
)

// order is every further line. The next one follows only after the reply.
type order struct {
	Task task             `json:"task"`
	Room ident.RoomID     `json:"room,omitempty"`
	Via  ident.ServerName `json:"via,omitempty"`
	Text string           `json:"text,omitempty"`
}

// report is a line that a server writes: the reply to the setup or to an order, or news.
type report struct {
	Reply bool   `json:"reply,omitempty"`
	Error string `json:"error,omitempty"`

	Room  ident.RoomID             `json:"room,omitempty"`
	Event ident.EventID            `json:"event,omitempty"`
	State map[string]ident.EventID `json:"state,omitempty"` // by "type|state key"
	Sent  []Transaction            `json:"sent,omitempty"`

	Delivered ident.EventID    `json:"delivered,omitempty"` // news: recorded durably by the callback
	Failed    ident.ServerName `json:"failed,omitempty"`    // news: an attempt to reach this server failed
}

// Transaction is one parcel that one server sent to another.
type Transaction struct {
	From, To    ident.ServerName
	ID          string
	PDUs        int
	FrozenAt    int64 // ms: when it was put together
	EndedAt     int64 // ms; 0: never answered
	Attempts    int
	FirstClass  string // what became of the first attempt: "ok", or the class of its failure
	LastMessage string // what the last attempt that failed met, while it is not answered
}
