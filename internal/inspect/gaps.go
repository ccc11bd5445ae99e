// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxGaps is how many events before which history is missing are listed.
const maxGaps = 1_000

// Gaps is what a room's graph lacks here.
type Gaps struct {
	// History is events that the graph references and that are not in it: what came before this server took part, or was
	// never handed over, a thousand at most. Backfill asks for them.
	History []ident.EventID `json:"history"`
	// Backfill is how far the history has been fetched; nil when it was never asked for.
	Backfill *Backfill `json:"backfill,omitempty"`
	// Quarantined is events that wait for others, those first that are sought next.
	Quarantined []Quarantined `json:"quarantined"`
	Budget      Budget        `json:"budget"` // of the searches for what they wait for
}

// Backfill is how far the history of a room has been fetched, by all calls.
type Backfill struct {
	Events   int    `json:"events"` // that got their place in the graph
	Depth    int64  `json:"depth"`  // the smallest among them
	Requests int    `json:"requests"`
	Server   string `json:"server"` // who was asked last
	Asked    int64  `json:"ts"`
	Note     string `json:"note,omitempty"` // how that ended
}

// Quarantined is an event that is not judged, as events that it references are missing.
type Quarantined struct {
	EventID  string          `json:"event_id"`
	Peer     string          `json:"peer"` // who handed it over
	Via      string          `json:"via"`  // how
	Received int64           `json:"ts"`
	Waits    []ident.EventID `json:"waits"`
	Attempts int             `json:"attempts"` // searches for what it waits for that were in vain
	NextTry  int64           `json:"next_try_ts,omitempty"`
	Note     string          `json:"note,omitempty"` // how the last search ended
	Requests int             `json:"requests"`
	Bytes    int64           `json:"bytes"` // of the answers
	Spent    int64           `json:"spent_ms"`
	Asked    []Asked         `json:"asked"` // whom, the last one first
}

// Asked is how the last question to a server ended.
type Asked struct {
	Server string `json:"server"`
	At     int64  `json:"ts"`
	Result string `json:"result"`
}

// Budget is what searches for a room's missing events have spent in the present period, and may spend.
type Budget struct {
	Requests    int   `json:"requests"`
	MaxRequests int   `json:"max_requests"`
	Bytes       int64 `json:"bytes"`
	MaxBytes    int64 `json:"max_bytes"`
	Until       int64 `json:"until_ts,omitempty"` // the end of the period; absent when nothing was ever spent
}

// Gaps lists what is missing of a room, with at most limit quarantined events.
func (i *Inspector) Gaps(ctx context.Context, room string, limit int) (Gaps, error) {
	row, err := i.room(ctx, room)
	if err != nil {
		return Gaps{}, err
	}
	g := Gaps{History: []ident.EventID{}, Quarantined: []Quarantined{}}
	err = i.view(ctx, func(tx *persistence.Tx) error {
		if err := g.addHistory(tx, row.NID); err != nil {
			return err
		}
		waiting, budget, err := pdu.QuarantineIn(tx, row.NID, clampLimit(limit))
		if err != nil {
			return err
		}
		for _, w := range waiting {
			g.Quarantined = append(g.Quarantined, quarantinedOf(w))
		}
		g.Budget = Budget{
			Requests: budget.Requests, MaxRequests: budget.MaxRequests, Bytes: budget.Bytes, MaxBytes: budget.MaxBytes,
		}
		if !budget.Until.IsZero() {
			g.Budget.Until = budget.Until.UnixMilli()
		}
		return nil
	})
	if err != nil {
		return Gaps{}, fmt.Errorf("gaps of %s: %w", room, err)
	}
	return g, nil
}

func (g *Gaps) addHistory(tx *persistence.Tx, room int64) error {
	missing, err := tx.Gaps(room, maxGaps)
	if err != nil {
		return err
	}
	for _, gap := range missing {
		g.History = append(g.History, gap.Event)
	}
	slices.Sort(g.History)
	b, found, err := tx.Backfill(room)
	if found {
		g.Backfill = &Backfill{b.Events, b.Depth, b.Requests, string(b.Server), b.AskedAt, b.Note}
	}
	return err
}

func quarantinedOf(w pdu.Waiting) Quarantined {
	q := Quarantined{
		EventID: string(w.Event), Peer: string(w.Origin), Via: w.Arrival, Received: w.ReceivedAt.UnixMilli(),
		Waits: append([]ident.EventID{}, w.Missing...), Attempts: w.Attempts, NextTry: w.NextTry.UnixMilli(), Note: w.Note,
		Requests: w.Requests, Bytes: w.Bytes, Spent: w.Spent.Milliseconds(), Asked: []Asked{},
	}
	for _, a := range w.Asked {
		q.Asked = append(q.Asked, Asked{string(a.Server), a.At.UnixMilli(), a.Result})
	}
	return q
}
