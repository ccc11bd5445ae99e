// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"fmt"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxDependents is how many events that depend on another are looked for.
const maxDependents = 1_000

// Explanation is why an event ended as it did.
type Explanation struct {
	EventID     string  `json:"event_id"`
	RoomID      string  `json:"room_id"`
	RoomVersion string  `json:"room_version,omitempty"`
	Type        string  `json:"type,omitempty"`
	Sender      string  `json:"sender,omitempty"`
	StateKey    *string `json:"state_key,omitempty"`
	Depth       int64   `json:"depth,omitempty"`
	Verdict     string  `json:"verdict"`  // an Outcome, as in Event
	Redacted    bool    `json:"redacted"` // its content hash did not match
	Permanent   bool    `json:"permanent"`
	// Checks is all of them in order, those that were not reached included.
	Checks  []Step          `json:"checks"`
	Arrival Way             `json:"arrival"`
	Waits   []ident.EventID `json:"waits"`  // what a quarantined event waits for
	Causes  []ident.EventID `json:"causes"` // events that, were they otherwise, would have it judged otherwise
	// Dependents is events that ended as they did because of this one, directly or not, nearest first, a thousand at most.
	Dependents []Dependent `json:"dependents"`
	Affected   int         `json:"descendants_affected"` // how many these are
	Judged     int64       `json:"judged_ts,omitempty"`
	FirstAt    int64       `json:"first_judged_ts,omitempty"`
	Judgements int         `json:"judgements"` // how often it was judged
	Searches   int         `json:"searches"`   // how often what it missed was sought
	SearchNote string      `json:"search_note,omitempty"`
}

// Step is one of the checks on receipt.
type Step struct {
	Check
	Reached bool            `json:"reached"` // false when an earlier one decided, or when the event still waits
	Inputs  []ident.EventID `json:"inputs"`  // the events that it was judged against, where the record has them
}

// Way is how an event came here.
type Way struct {
	Via      string `json:"via"`              // transaction, missing events, event, auth event, state, join, request, own …
	Peer     string `json:"peer"`             // who handed it over: not always its sender's server
	Txn      string `json:"txn_id,omitempty"` // the peer's transaction, where the record has it
	Received int64  `json:"ts,omitempty"`
	Lag      int64  `json:"lag_ms,omitempty"` // from origin_server_ts, by both servers' clocks
}

// String is the way in words, as in "transaction 17-4 from example.org".
func (w Way) String() string {
	words := w.Via
	if w.Txn != "" {
		words += " " + w.Txn
	}
	if w.Peer != "" {
		words += " from " + w.Peer
	}
	return words
}

// Dependent is an event that ended as it did because of another.
type Dependent struct {
	EventID ident.EventID `json:"event_id"`
	Outcome string        `json:"outcome"`
	Because ident.EventID `json:"because"`
}

// Explain tells why an event ended as it did.
func (i *Inspector) Explain(ctx context.Context, id string) (Explanation, error) {
	e, err := i.Event(ctx, id)
	if err != nil {
		return Explanation{}, err
	}
	x := Explanation{
		EventID: e.EventID, RoomID: e.RoomID, RoomVersion: e.RoomVersion, Type: e.Type, Sender: e.Sender, StateKey: e.StateKey, Depth: e.Depth,
		Verdict: e.Outcome, Redacted: e.Redacted, Waits: []ident.EventID{}, Causes: []ident.EventID{}, Dependents: []Dependent{},
	}
	if err := i.view(ctx, func(tx *persistence.Tx) error { return x.addRecord(tx, e) }); err != nil {
		return Explanation{}, fmt.Errorf("explain %s: %w", id, err)
	}
	if e.OriginTS != 0 && x.Arrival.Received != 0 && x.Arrival.Peer != i.ServerName() {
		x.Arrival.Lag = x.Arrival.Received - e.OriginTS
	}
	dependents, err := pdu.DependentsOf(ctx, i.store, ident.EventID(id), maxDependents)
	if err != nil {
		return Explanation{}, err
	}
	for _, d := range dependents {
		x.Dependents = append(x.Dependents, Dependent{d.Event, d.Outcome.String(), d.Because})
	}
	x.Affected = len(x.Dependents)
	return x, nil
}

// addRecord adds what was kept about an event. Of one that was plainly accepted that is how it came: it has passed every check.
func (x *Explanation) addRecord(tx *persistence.Tx, e Event) error {
	id := ident.EventID(x.EventID)
	row, found, err := tx.Verdict(id)
	if err != nil {
		return err
	}
	var v pdu.Verdict
	if found {
		if v, err = pdu.VerdictOf(row); err != nil {
			return err
		}
		causes, err := tx.Causes(row.NID)
		if err != nil {
			return err
		}
		v.Causes = causes
		x.Causes = append(x.Causes, causes...)
		x.Arrival = Way{Via: v.Via.String(), Peer: string(v.Origin), Txn: v.Txn, Received: v.ReceivedAt}
		x.Judged, x.FirstAt, x.Judgements, x.Searches, x.SearchNote = v.JudgedAt, v.FirstAt, v.Judgements, v.Searches, v.SearchNote
		x.Permanent = v.Permanent()
	}
	if e.Verdict != nil {
		x.Waits = append(x.Waits, e.Verdict.Waits...)
	}
	x.addSteps(v, !found && e.Outcome == pdu.Accepted.String() && !e.Outlier)
	if found {
		return nil
	}
	came, ok, err := tx.EventArrival(id)
	if err != nil || !ok {
		return err
	}
	x.Arrival = Way{Via: pdu.Arrival(came.Arrival).String(), Peer: string(came.Origin), Received: came.ReceivedAt}
	x.Judged, x.FirstAt = came.JudgedAt, came.JudgedAt
	if came.JudgedAt != 0 {
		x.Judgements = 1
	}
	return nil
}

// addSteps lists the checks; passed says that all of them were, though no record of it was kept.
func (x *Explanation) addSteps(v pdu.Verdict, passed bool) {
	for n, s := range v.Steps() {
		step := Step{Check: Check{n + 1, s.ID, s.OK, s.Rule, s.Detail}, Reached: s.Reached, Inputs: append([]ident.EventID{}, s.Inputs...)}
		if passed {
			step.OK, step.Reached = true, true
		}
		x.Checks = append(x.Checks, step)
	}
}
