// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"fmt"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Dependent is an event that ended as it did because of another.
type Dependent struct {
	Event   ident.EventID
	Outcome Outcome       // Rejected, SoftFailed or Quarantined
	Because ident.EventID // the other event: a cause of its verdict, or what it waits for
}

// Dependents lists up to limit events that were refused, or are quarantined, because of an event, and those that are because of
// these, nearest first: what may end otherwise when the event is judged again.
func (e *Engine) Dependents(ctx context.Context, id ident.EventID, limit int) ([]Dependent, error) {
	return DependentsOf(ctx, e.store, id, limit)
}

// DependentsOf is Dependents of what a store holds, without an engine.
func DependentsOf(ctx context.Context, store *persistence.Store, id ident.EventID, limit int) ([]Dependent, error) {
	var all []Dependent
	seen := map[ident.EventID]bool{id: true}
	for next := []ident.EventID{id}; len(next) > 0 && len(all) < limit; next = next[1:] {
		err := store.View(ctx, func(tx *persistence.Tx) error {
			found, err := dependentsOf(tx, next[0], limit)
			for _, d := range found {
				if len(all) < limit && !seen[d.Event] {
					seen[d.Event] = true
					all, next = append(all, d), append(next, d.Event)
				}
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("what depends on %s: %w", id, err)
		}
	}
	return all, nil
}

func dependentsOf(tx *persistence.Tx, id ident.EventID, limit int) (list []Dependent, err error) {
	verdicts, err := tx.CausedBy(id, limit)
	if err != nil {
		return nil, err
	}
	for _, v := range verdicts {
		list = append(list, Dependent{v.Event, Outcome(v.Outcome), id})
	}
	waiting, err := tx.WaitingFor(id, limit)
	for _, w := range waiting {
		list = append(list, Dependent{w, Quarantined, id})
	}
	return list, err
}

// VerdictFilter selects verdicts; what is zero selects nothing out.
type VerdictFilter = persistence.VerdictFilter

// Verdicts lists records of events that were not plainly accepted, newest first, without Waits and Causes. next is what Before is to be
// for those after them, 0 when there are none; where few fit, fewer than limit may come with more to follow.
func (e *Engine) Verdicts(ctx context.Context, f VerdictFilter, limit int) (list []Verdict, next int64, err error) {
	err = e.store.View(ctx, func(tx *persistence.Tx) error {
		rows, n, err := tx.FindVerdicts(f, limit)
		next = n
		for _, row := range rows {
			v, err := VerdictOf(row)
			if err != nil {
				return err
			}
			list = append(list, v)
		}
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list verdicts: %w", err)
	}
	return list, next, nil
}

// Came is how an event came here, and when what was done with it.
type Came struct {
	Origin     ident.ServerName     // who handed it over first
	Via        Arrival              // how
	ReceivedAt int64                // ms
	JudgedAt   int64                // ms, the first time; 0 while it is staged
	Position   persistence.Position // 0 for none
}

// Came is how an event came here. ErrUnknownEvent.
func (e *Engine) Came(ctx context.Context, id ident.EventID) (c Came, err error) {
	var found bool
	err = e.store.View(ctx, func(tx *persistence.Tx) error {
		a, ok, err := tx.EventArrival(id)
		found, c = ok, Came{a.Origin, Arrival(a.Arrival), a.ReceivedAt, a.JudgedAt, a.Position}
		return err
	})
	if err == nil && !found {
		err = ErrUnknownEvent
	}
	if err != nil {
		return Came{}, fmt.Errorf("how %s came: %w", id, err)
	}
	return c, nil
}
