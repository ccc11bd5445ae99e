// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"github.com/strata-matrix/strata/transport/ident"
)

// Outcome is where an event ended.
type Outcome int

// The values are stored.
const (
	Staged      Outcome = 0 // durable, not yet judged
	Accepted    Outcome = 1
	SoftFailed  Outcome = 2 // valid at its place in the graph, but not by the current state: kept from users (P-33)
	Rejected    Outcome = 3 // not authorised; kept so that its children can be judged (P-31)
	Quarantined Outcome = 4 // events that it references, or the keys that it is signed with, are missing; it is judged when they are here
	Dropped     Outcome = 5 // malformed or without a valid signature; nothing but this record is kept
)

// String names the outcome as commands and pages show it.
func (o Outcome) String() string {
	switch o {
	case Staged:
		return "staged"
	case Accepted:
		return "accepted"
	case SoftFailed:
		return "soft-failed"
	case Rejected:
		return "rejected"
	case Quarantined:
		return "quarantined"
	case Dropped:
		return "dropped"
	}
	return "unknown"
}

// Check is the result of one check on receipt.
type Check struct {
	ID     string // the check: "P-25" format, "P-26" signatures and hash, "P-27" auth events, "P-28" state before, "P-29" current state, "P-30" policy server
	OK     bool
	Rule   string // the rule that decided, as in "P-47"
	Detail string // one sentence; a refusal gives the values it rests on
}

// Verdict is what became of an event and why.
type Verdict struct {
	Event      ident.EventID // "" when the event was too malformed to have an id
	Room       ident.RoomID
	Outcome    Outcome
	Redacted   bool             // its content hash did not match, so the redacted copy is kept (P-15)
	Checks     []Check          // in order; the last one decided
	Waits      []ident.EventID  // missing references of a quarantined event
	Origin     ident.ServerName // who handed it to us
	ReceivedAt int64            // ms
	JudgedAt   int64            // ms
}

// Decisive is the check that decided.
func (v Verdict) Decisive() Check {
	if len(v.Checks) == 0 {
		return Check{}
	}
	return v.Checks[len(v.Checks)-1]
}
