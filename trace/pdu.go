// SPDX-License-Identifier: Apache-2.0

package trace

import "time"

// PDUReceived is emitted for each PDU that arrived and was not known, before what was taken in is durable. Of those that came
// with a join it is emitted for the badly signed ones, which are left out of the room's state.
type PDUReceived struct {
	Room, Event string // Event is "" when it was too malformed to have an id
	Origin      string // who handed it to us
	Arrival     string // "transaction", "missing events", "event", "auth event" or "join"
	Problem     string // why it was not taken in, "" when it was
}

// PDUJudged is emitted when the verdict on an event is durable.
type PDUJudged struct {
	Room, Event string
	Outcome     string        // "accepted", "soft-failed", "rejected" or "quarantined"
	Check, Rule string        // the check and the rule that decided
	Position    int64         // 0 for an event that is not delivered
	Waited      time.Duration // since it was received
}

// PDURedacted is emitted when a redaction that has taken effect is durable.
type PDURedacted struct {
	Room, Event string
	By          string // the redaction
	Position    int64  // of the redaction; 0 when it is history, and not delivered
}

// PDUJoinAbandoned is emitted at the start for a room whose join the end of the process before had cut off. The room counts as left
// here; a resident that had taken the join thinks otherwise until somebody joins again, or leaves.
type PDUJoinAbandoned struct{ Room string }

// PDURestored is emitted when it is durable that an event is whole of which there was what redaction leaves, since the content hash of
// the copy that came first did not match.
type PDURestored struct {
	Room, Event string
	Position    int64 // at which it is told anew; 0 when it had not been delivered
}

// PDUSought is emitted when a search for missing events of a room has ended.
type PDUSought struct {
	Room     string
	Waiting  int // quarantined events that it was made for
	Missing  int // events that were not stored when it began
	Found    int // events that were taken in
	Asked    int // requests
	Duration time.Duration
}

// PDUStateAlarm is emitted when a resolution changed more of a room's state than the events that led to it explain. The record of it
// is stored.
type PDUStateAlarm struct {
	Room        string
	Severe      bool
	Slots       int      // that went back to an older event, or became empty
	Examples    []string // the first few, as "type key"
	Extremities int
}

// PDUPolicyAsked is emitted when a room's policy server was asked about events that it had not signed.
type PDUPolicyAsked struct {
	Room, Server string
	Asked        int
	Signed       int
	Problem      string // why one of the others was not signed, "" when all were
	Duration     time.Duration
}

// PDURoomFailed is emitted when the work on a room was given up for now, because the store failed or a stored thing is not
// what it should be. It is tried again.
type PDURoomFailed struct {
	Room string
	Err  error
}

// Kind implements Event.
func (PDUReceived) Kind() string { return "pdu.received" }

// Kind implements Event.
func (PDUJudged) Kind() string { return "pdu.judged" }

// Kind implements Event.
func (PDURedacted) Kind() string { return "pdu.redacted" }

// Kind implements Event.
func (PDUJoinAbandoned) Kind() string { return "pdu.join_abandoned" }

// Kind implements Event.
func (PDURestored) Kind() string { return "pdu.restored" }

// Kind implements Event.
func (PDUSought) Kind() string { return "pdu.sought" }

// Kind implements Event.
func (PDUStateAlarm) Kind() string { return "pdu.state_alarm" }

// Kind implements Event.
func (PDUPolicyAsked) Kind() string { return "pdu.policy_asked" }

// Kind implements Event.
func (PDURoomFailed) Kind() string { return "pdu.room_failed" }

// PDUCompleted is emitted when an attempt to fetch the whole state of a partial room has ended.
type PDUCompleted struct {
	Room     string
	Attempts int
	Problem  string // "" when the state is whole now
	Duration time.Duration
}

// Kind implements Event.
func (PDUCompleted) Kind() string { return "pdu.completed" }
