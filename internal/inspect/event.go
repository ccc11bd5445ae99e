// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Event is an event with what became of it. Of a dropped event only EventID, RoomID, Outcome and Verdict are known.
type Event struct {
	EventID     string          `json:"event_id"`
	RoomID      string          `json:"room_id"`
	RoomVersion string          `json:"room_version,omitempty"`
	Type        string          `json:"type,omitempty"`
	Sender      string          `json:"sender,omitempty"`
	StateKey    *string         `json:"state_key,omitempty"` // absent from messages
	Content     json.RawMessage `json:"content,omitempty"`
	OriginTS    int64           `json:"origin_server_ts,omitempty"`
	Depth       int64           `json:"depth,omitempty"`
	PrevEvents  []ident.EventID `json:"prev_events,omitempty"`
	AuthEvents  []ident.EventID `json:"auth_events,omitempty"`
	// Outcome is accepted, soft-failed, rejected, quarantined, dropped, or staged while it is not judged.
	Outcome string `json:"outcome"`
	// Redacted: the content hash did not match, so that the redacted copy is what is kept (P-15).
	Redacted bool `json:"redacted"`
	// RedactedBy is the redaction that took effect on it: what is shown is what is left.
	RedactedBy ident.EventID `json:"redacted_by,omitempty"`
	// Outlier: known from a state or an auth chain only; its place in the room's graph is not known.
	Outlier bool `json:"outlier"`
	// Position is its place in this server's sequence, 0 for an event that is not delivered.
	Position int64 `json:"position,omitempty"`
	// Verdict is how it was judged. Events that were plainly accepted have none.
	Verdict *Verdict `json:"verdict,omitempty"`
	// PDU is the event as other servers get it.
	PDU json.RawMessage `json:"pdu,omitempty"`
}

// Verdict is the record of a judgement that was not plain acceptance.
type Verdict struct {
	Outcome string          `json:"outcome"`
	Checks  []Check         `json:"checks"`          // in the order in which they were made; the last one decided
	Waits   []ident.EventID `json:"waits,omitempty"` // what a quarantined event waits for
	Arrival Arrival         `json:"arrival"`
	Judged  int64           `json:"judged_ts"`
}

// Check is one check on receipt.
type Check struct {
	Number int    `json:"n"`
	ID     string `json:"id"` // P-25 format, P-26 signatures and hash, P-27 auth events, P-28 state before, P-29 current state
	OK     bool   `json:"ok"`
	Rule   string `json:"rule,omitempty"` // the rule that decided
	Detail string `json:"detail,omitempty"`
}

// Arrival is how an event came here.
type Arrival struct {
	Peer     string `json:"peer"` // who handed it over: not always its sender's server
	Received int64  `json:"ts"`
	Lag      int64  `json:"lag_ms,omitempty"` // from origin_server_ts, by both servers' clocks
}

// Event gives one event.
func (i *Inspector) Event(ctx context.Context, id string) (Event, error) {
	if _, err := ident.ParseEventID(id); err != nil {
		return Event{}, badQuery{err}
	}
	var found Event
	err := i.view(ctx, func(tx *persistence.Tx) error {
		stored, isStored, err := tx.Event(ident.EventID(id))
		if err != nil {
			return err
		}
		if isStored {
			if found, err = eventOf(stored); err != nil {
				return err
			}
		}
		judged, err := found.addVerdict(tx, ident.EventID(id))
		if err == nil && !isStored && !judged {
			return ErrNotFound
		}
		return err
	})
	if err != nil {
		return Event{}, fmt.Errorf("event %s: %w", id, err)
	}
	return found, nil
}

// eventOf shows a stored event, without its verdict.
func eventOf(stored persistence.Event) (Event, error) {
	parsed, err := parse(stored)
	if err != nil {
		return Event{}, err
	}
	e := describeEvent(parsed)
	e.RoomID = string(stored.Room)
	e.RoomVersion = stored.RoomVersion
	e.PrevEvents, e.AuthEvents = parsed.PrevEvents(), parsed.AuthEvents()
	e.Outcome = pdu.Outcome(stored.Outcome).String()
	e.Redacted, e.RedactedBy = stored.Redacted, stored.RedactedBy
	e.Outlier = stored.Outcome != persistence.OutcomeStaged && stored.Before == nil
	e.Position = int64(stored.Position)
	e.PDU = validJSON(stored.JSON)
	return e, nil
}

// describeEvent is what an event says of itself.
func describeEvent(parsed *event.Event) Event {
	e := Event{
		EventID: string(parsed.ID()), RoomID: string(parsed.RoomID()), Type: parsed.Type(), Sender: string(parsed.Sender()),
		Content: validJSON(parsed.Content().Canonical()), OriginTS: parsed.OriginServerTS(), Depth: parsed.Depth(),
	}
	if key, isState := parsed.StateKey(); isState {
		e.StateKey = &key
	}
	return e
}

// ChecksOf numbers the checks of a verdict.
func ChecksOf(checks []pdu.Check) []Check {
	list := make([]Check, len(checks))
	for n, c := range checks {
		list[n] = Check{n + 1, c.ID, c.OK, c.Rule, c.Detail}
	}
	return list
}

// addVerdict adds the record about an event, if there is one.
func (e *Event) addVerdict(tx *persistence.Tx, id ident.EventID) (found bool, err error) {
	row, found, err := tx.Verdict(id)
	if err != nil || !found {
		return false, err
	}
	v, err := pdu.VerdictOf(row)
	if err != nil {
		return true, err
	}
	e.EventID, e.RoomID, e.Outcome, e.Redacted = string(id), string(v.Room), v.Outcome.String(), v.Redacted
	e.Verdict = &Verdict{
		Outcome: v.Outcome.String(), Judged: v.JudgedAt,
		Arrival: Arrival{Peer: string(v.Origin), Received: v.ReceivedAt},
	}
	if e.OriginTS != 0 {
		e.Verdict.Arrival.Lag = v.ReceivedAt - e.OriginTS
	}
	e.Verdict.Checks = ChecksOf(v.Checks)
	nid, _, _, stored, err := tx.EventExists(id)
	if err != nil || !stored {
		return true, err
	}
	missing, err := tx.Awaited(nid)
	for _, m := range missing {
		e.Verdict.Waits = append(e.Verdict.Waits, m.ID)
	}
	return true, err
}
