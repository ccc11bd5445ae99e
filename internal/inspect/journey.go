// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"fmt"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
)

// Journey is the way of an event through this server.
type Journey struct {
	EventID string `json:"event_id"`
	RoomID  string `json:"room_id"`
	Outcome string `json:"outcome"`
	// Legs are the stages of the way in order; the last is where the event is now.
	Legs []Leg `json:"legs"`
	// Readers is the subscriptions of this server, with whether they have passed the event. Empty for an event that is not delivered.
	Readers []Reader `json:"readers"`
}

// Leg is one stage.
type Leg struct {
	Name string `json:"stage"`
	At   int64  `json:"ts,omitempty"` // when it was reached; the first by the clock of the sender's server
	// Took is the time since the stage before, in ms. Clocks differ: from the first to the second it may be anything.
	Took int64 `json:"took_ms"`
	// Blame is on whose side that time was spent: origin, network, gap (waiting for events that it refers to) or us.
	Blame  string `json:"blame,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// Reader is a subscription.
type Reader struct {
	Name   string `json:"name"`
	Passed bool   `json:"passed"` // its durable cursor is at the event or behind it
}

// Journey tells where the time went between an event's sending and its delivery.
func (i *Inspector) Journey(ctx context.Context, id string) (Journey, error) {
	x, err := i.Explain(ctx, id)
	if err != nil {
		return Journey{}, err
	}
	e, err := i.Event(ctx, id)
	if err != nil {
		return Journey{}, err
	}
	j := Journey{EventID: x.EventID, RoomID: x.RoomID, Outcome: x.Verdict, Legs: []Leg{}, Readers: []Reader{}}
	if e.OriginTS != 0 {
		j.Legs = append(j.Legs, Leg{Name: "sent", At: e.OriginTS, Blame: "origin", Detail: "by the clock of " + e.Sender + "'s server"})
	}
	if x.Arrival.Received != 0 {
		j.step("received", x.Arrival.Received, "network", x.Arrival.String())
	}
	j.addJudgement(x)
	if e.Position == 0 {
		return j, nil
	}
	j.step("in its place", x.FirstAt, "us", fmt.Sprintf("position %d", e.Position))
	err = i.view(ctx, func(tx *persistence.Tx) error {
		readers, err := tx.Subscriptions()
		for _, r := range readers {
			j.Readers = append(j.Readers, Reader{r.Name, int64(r.Position) >= e.Position})
		}
		return err
	})
	if err != nil {
		return Journey{}, fmt.Errorf("readers of %s: %w", id, err)
	}
	return j, nil
}

// addJudgement adds what happened from the receipt to the verdict.
func (j *Journey) addJudgement(x Explanation) {
	switch {
	case x.Verdict == pdu.Quarantined.String():
		j.Legs = append(j.Legs, Leg{
			Name: "waiting", Blame: "gap", Detail: fmt.Sprintf("for %d events; sought %d times%s", len(x.Waits), x.Searches, x.lastSearch()),
		})
	case x.FirstAt == 0:
		j.Legs = append(j.Legs, Leg{Name: "staged", Blame: "us", Detail: "not judged yet"})
	case x.Searches > 0:
		j.step("judged", x.FirstAt, "gap", fmt.Sprintf("%s; what it refers to was sought %d times%s", x.Verdict, x.Searches, x.lastSearch()))
	default:
		j.step("judged", x.FirstAt, "us", x.Verdict)
	}
	if x.Judgements > 1 {
		j.step("judged again", x.Judged, "us", fmt.Sprintf("%s; %d times in all", x.Verdict, x.Judgements))
	}
}

// step adds a stage, with the time since the one before.
func (j *Journey) step(name string, at int64, blame, detail string) {
	leg := Leg{Name: name, At: at, Blame: blame, Detail: detail}
	if n := len(j.Legs); n > 0 {
		leg.Took = at - j.Legs[n-1].At
	}
	j.Legs = append(j.Legs, leg)
}

func (x Explanation) lastSearch() string {
	if x.SearchNote == "" {
		return ""
	}
	return " (" + x.SearchNote + ")"
}
