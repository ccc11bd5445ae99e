// SPDX-License-Identifier: Apache-2.0

package trace

import "time"

// MessagingJoined is a room joined over another server.
type MessagingJoined struct {
	Room, User, Via  string
	State, AuthChain int // events that came with it
	Unreadable       int // of those, left out because their format is not valid
	Took             time.Duration
}

// Kind is "messaging.joined".
func (MessagingJoined) Kind() string { return "messaging.joined" }

// MessagingJoinStep is a join over another server that has come a step further.
type MessagingJoinStep struct {
	Room, User, Via string
	Step            string // "asks", "waits" or "verifies"
	Events          int    // of state and auth chain that have come
}

// Kind is "messaging.join_step".
func (MessagingJoinStep) Kind() string { return "messaging.join_step" }

// MessagingHandshakeFailed is one server that could not be joined, knocked on or left over. The next candidate is asked, if there is one.
type MessagingHandshakeFailed struct {
	Room, User, Via string
	Membership      string // "join", "knock" or "leave"
	Error           string
}

// Kind is "messaging.handshake_failed".
func (MessagingHandshakeFailed) Kind() string { return "messaging.handshake_failed" }

// MessagingStanding is a user of ours who is invited to a room that this server is not in, or knocks on it, or no longer does.
type MessagingStanding struct {
	Room, User string
	Membership string // "invite", "knock", "leave" or "ban"
	Sender     string // who made it so
	Told       bool   // the room has it so too, as far as is known
}

// Kind is "messaging.standing".
func (MessagingStanding) Kind() string { return "messaging.standing" }

// MessagingCallbackFailed is a subscription's callback that returned an error. It gets the same event again after Wait.
type MessagingCallbackFailed struct {
	Subscription string
	Position     int64
	Error        string
	Wait         time.Duration
}

// Kind is "messaging.callback_failed".
func (MessagingCallbackFailed) Kind() string { return "messaging.callback_failed" }

// MessagingEDURefused is an EDU that made no sense, or that its server may not send. It is dropped.
type MessagingEDURefused struct {
	Origin, Type string
	Error        string
}

// Kind is "messaging.edu_refused".
func (MessagingEDURefused) Kind() string { return "messaging.edu_refused" }

// MessagingDevicesFetched is a device list that was asked for since updates of it were missing. Error is "" when it came; else it is
// asked for again after Wait, or no more when that is 0.
type MessagingDevicesFetched struct {
	User    string
	Devices int
	Error   string
	Wait    time.Duration
}

// Kind is "messaging.devices_fetched".
func (MessagingDevicesFetched) Kind() string { return "messaging.devices_fetched" }

// MessagingStopped is the end of a server that was not asked for: its store or a driver gave up.
type MessagingStopped struct {
	Error string
}

// Kind is "messaging.stopped".
func (MessagingStopped) Kind() string { return "messaging.stopped" }
