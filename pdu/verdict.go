// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/persistence"
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
	Rule   string          // the rule that decided, as in "P-47"
	Detail string          // one sentence; a refusal gives the values it rests on
	Inputs []ident.EventID `json:",omitempty"` // the events that it was judged against
}

// Verdict is what became of an event and why.
type Verdict struct {
	Event    ident.EventID // "" when the event was too malformed to have an id
	Room     ident.RoomID
	Outcome  Outcome
	Redacted bool            // its content hash did not match, so the redacted copy is kept (P-15)
	Checks   []Check         // in order; the last one decided
	Waits    []ident.EventID // missing references of a quarantined event
	Causes   []ident.EventID // events that, were they other than they are, would have it judged otherwise

	Origin     ident.ServerName // who handed it to us
	Via        Arrival          // how
	Txn        string           // the origin's transaction id, "" when it came in none
	ReceivedAt int64            // ms
	JudgedAt   int64            // ms
	FirstAt    int64            // ms, when it was judged for the first time; 0 if it was not yet
	Judgements int              // how often it was judged
	Searches   int              // how often what it missed was sought
	SearchNote string           // how the last search ended
}

// Decisive is the check that decided.
func (v Verdict) Decisive() Check {
	if len(v.Checks) == 0 {
		return Check{}
	}
	return v.Checks[len(v.Checks)-1]
}

// Permanent says that the event, in the form in which it came, will be judged the same whenever it is judged: it is malformed, or
// its own references refuse it and none of them can be judged otherwise. A soft failure is never permanent: the event may yet
// become part of the state (P-33). Nor is a rejection by the state before, which rests on what is known of its past.
func (v Verdict) Permanent() bool {
	check := v.Decisive()
	switch v.Outcome {
	case Dropped:
		return check.ID == "P-25" && check.Rule != "T-09" && check.Rule != "M-95" // these are about this server, and the sender's
	case Rejected:
		return len(v.Causes) == 0 && (check.ID == "P-27" || check.Rule == "P-70")
	}
	return false
}

// Step is one of the checks on receipt in its place among all of them.
type Step struct {
	Check
	Reached bool // false when an earlier check decided, or the event still waits for what this one needs
}

// Steps is every check on receipt in order, with those that were not reached.
func (v Verdict) Steps() []Step {
	steps := []Step{{Check: Check{ID: "P-25"}}, {Check: Check{ID: "P-26"}}}
	for _, stage := range stages {
		steps = append(steps, Step{Check: Check{ID: stage.id}})
	}
	for _, check := range v.Checks {
		i := slices.IndexFunc(steps, func(s Step) bool { return s.ID == check.ID })
		if i < 0 {
			steps = append(steps, Step{check, true})
			continue
		}
		steps[i] = Step{check, true}
	}
	return steps
}

// writeVerdict keeps the record of what was not plainly accepted. An event that was quarantined keeps one too.
func writeVerdict(tx *persistence.Tx, j judged) error {
	if j.verdict.Outcome == Accepted && !j.verdict.Redacted && !j.waited {
		return nil
	}
	row, err := verdictRow(j.verdict)
	if err != nil {
		return err
	}
	return tx.PutVerdict(row)
}

func verdictRow(v Verdict) (persistence.Verdict, error) {
	for i := range v.Checks {
		v.Checks[i].Detail = auth.Shortened(v.Checks[i].Detail)
	}
	checks, err := json.Marshal(v.Checks)
	if err != nil {
		return persistence.Verdict{}, fmt.Errorf("encode checks on %s: %w", v.Event, err)
	}
	return persistence.Verdict{
		Event: v.Event, Room: v.Room, Outcome: int(v.Outcome), Redacted: v.Redacted, Checks: checks, Causes: v.Causes,
		Origin: v.Origin, Arrival: int(v.Via), Txn: v.Txn, ReceivedAt: v.ReceivedAt, JudgedAt: v.JudgedAt,
		Searches: v.Searches, Note: v.SearchNote,
	}, nil
}
