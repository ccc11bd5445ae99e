// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"fmt"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// RefusedQuery selects events that were not plainly accepted.
type RefusedQuery struct {
	RoomID  string `json:"room_id,omitempty"` // "" for all rooms
	Verdict string `json:"verdict,omitempty"` // "" for all
	Peer    string `json:"peer,omitempty"`    // who handed it over, "" for all
	Since   int64  `json:"since,omitempty"`   // ms; judged then or later
	Before  int64  `json:"before,omitempty"`  // only those with smaller numbers, 0 for the newest
	Limit   int    `json:"limit,omitempty"`
}

// Refused is an event that was not plainly accepted, in short.
type Refused struct {
	Number   int64         `json:"n"`        // they are numbered as they are judged, anew when they are judged again
	EventID  ident.EventID `json:"event_id"` // "" where it was too malformed to have one
	RoomID   ident.RoomID  `json:"room_id"`
	Verdict  string        `json:"verdict"`
	Redacted bool          `json:"redacted"` // its content hash did not match
	Judged   int64         `json:"judged_ts"`
	Arrival  Way           `json:"arrival"`
	Check    Check         `json:"check"` // the one that decided
}

// Refused lists events that were not plainly accepted, the one that was judged last first.
func (i *Inspector) Refused(ctx context.Context, q RefusedQuery) ([]Refused, error) {
	f, err := q.filter()
	if err != nil {
		return nil, err
	}
	list, limit := []Refused{}, clampLimit(q.Limit)
	for more := true; more && len(list) < limit; { // one view looks at a bounded number of records, of which few may fit
		err := i.view(ctx, func(tx *persistence.Tx) error {
			rows, next, err := tx.FindVerdicts(f, limit-len(list))
			if err != nil {
				return err
			}
			f.Before, more = next, next != 0
			for _, row := range rows {
				v, err := pdu.VerdictOf(row)
				if err != nil {
					return err
				}
				list = append(list, refusedOf(row.NID, v))
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list refused events: %w", err)
		}
	}
	return list, nil
}

func (q RefusedQuery) filter() (persistence.VerdictFilter, error) {
	f := persistence.VerdictFilter{Since: q.Since, Before: q.Before}
	var err error
	if q.RoomID != "" {
		f.Room, err = ident.ParseRoomID(q.RoomID)
	}
	if err == nil && q.Peer != "" {
		f.Origin, err = ident.ParseServerName(q.Peer)
	}
	if err == nil && q.Verdict != "" {
		f.Outcome, err = outcomeOf(q.Verdict)
	}
	if err != nil {
		return f, badQuery{err}
	}
	return f, nil
}

func outcomeOf(name string) (int, error) {
	for _, o := range []pdu.Outcome{pdu.Accepted, pdu.SoftFailed, pdu.Rejected, pdu.Quarantined, pdu.Dropped} {
		if o.String() == name {
			return int(o), nil
		}
	}
	return 0, fmt.Errorf("%q is no verdict", name)
}

func refusedOf(number int64, v pdu.Verdict) Refused {
	r := Refused{
		Number: number, EventID: v.Event, RoomID: v.Room, Verdict: v.Outcome.String(), Redacted: v.Redacted, Judged: v.JudgedAt,
		Arrival: Way{Via: v.Via.String(), Peer: string(v.Origin), Txn: v.Txn, Received: v.ReceivedAt},
	}
	if n := len(v.Checks); n > 0 {
		c := v.Decisive()
		r.Check = Check{n, c.ID, c.OK, c.Rule, c.Detail}
	}
	return r
}
