// SPDX-License-Identifier: Apache-2.0

package pdu

// Arrival is how an event came here.
type Arrival int

// The values are stored. When an event arrives in several ways before it is judged, the smallest counts.
const (
	arrivedInTransaction Arrival = 1
	arrivedFromGap       Arrival = 2 // in the answer to get_missing_events
	arrivedAlone         Arrival = 3 // in the answer to event, wanted for its place in the graph
	arrivedAsAuthEvent   Arrival = 4 // in the answer to event, wanted as an auth event only

	// Those that are not staged.
	arrivedWithState Arrival = 21 // in a state, or its auth chain, that was asked for
	arrivedWithJoin  Arrival = 22 // in the answer to send_join
	arrivedAsRequest Arrival = 23 // handed over in send_join, send_leave or send_knock
	arrivedFromUser  Arrival = 24 // made here

	arrivedFromBackfill Arrival = 25 // in the answer to backfill
)

// String names the arrival as records and traces show it.
func (a Arrival) String() string {
	switch a {
	case arrivedInTransaction:
		return "transaction"
	case arrivedFromGap:
		return "missing events"
	case arrivedAlone:
		return "event"
	case arrivedAsAuthEvent:
		return "auth event"
	case arrivedWithState:
		return "state"
	case arrivedWithJoin:
		return "join"
	case arrivedAsRequest:
		return "request"
	case arrivedFromUser:
		return "own"
	case arrivedFromBackfill:
		return "backfill"
	}
	return "unknown"
}
