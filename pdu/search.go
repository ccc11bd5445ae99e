// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// seekLater has the missing references of the room's quarantined events sought, now if they are due, else when they are.
func (e *Engine) seekLater(head room) error {
	var at, resting int64
	var any, anyResting bool
	err := e.store.View(e.stopped, func(tx *persistence.Tx) (err error) {
		if resting, anyResting, err = tx.NextResting(head.nid); err != nil {
			return err
		}
		at, any, err = tx.NextRetry(head.nid)
		return err
	})
	if err == nil && anyResting { // it could not be judged
		e.wakeAt(head.id, time.UnixMilli(resting))
	}
	if err != nil || !any {
		return err
	}
	now := time.Now()
	if due := time.UnixMilli(at); due.After(now) {
		e.wakeAt(head.id, due)
		return nil
	}
	if e.beginSearch(head.id) {
		go e.search(&head)
	}
	return nil
}

// searchInTurn is search for a room that has waited for its turn, as it is now.
func (e *Engine) searchInTurn(id ident.RoomID) {
	head, err := e.knownRoom(e.stopped, id)
	if err == nil && head.membership == Joined {
		e.search(head)
		return
	}
	if err != nil && e.stopped.Err() == nil {
		e.trace.Emit(trace.PDURoomFailed{Room: string(id), Err: err})
		e.wakeAt(id, time.Now().Add(retryFailure))
	}
	e.endSearch(id, false)
}

// retryAfter is how long a quarantined event rests after so many searches for what it misses.
func retryAfter(attempts int) time.Duration {
	wait := retryFirst
	for range attempts - 1 {
		if wait *= 2; wait >= retryMost {
			return retryMost
		}
	}
	return wait
}

// search looks for the missing references of a room's quarantined events at other servers. What it finds is staged like
// anything that arrives: the room's next turn judges it, and with it those that waited. A search that found something is followed
// by the next one without a pause, so that a deep gap is walked back at the pace of the answers.
func (e *Engine) search(head *room) {
	succeeded := false
	defer func() { e.endSearch(head.id, succeeded) }()
	ctx, cancel := context.WithTimeout(e.stopped, searchTimeout)
	defer cancel()
	s := &search{begun: time.Now(), absent: map[ident.EventID]*wanted{}, costs: map[int64]*cost{}}
	err := e.giveUpOverdue(ctx, head, s.begun)
	if err == nil {
		err = s.plan(ctx, e, head)
	}
	if err == nil {
		if failure := s.run(ctx); failure != nil {
			s.problem = failure
		}
		err = s.conclude() // whatever has happened: those that were sought for must not be in the way of others
	}
	if e.stopped.Err() != nil || errors.Is(err, persistence.ErrClosed) {
		return
	}
	if err != nil {
		e.trace.Emit(trace.PDURoomFailed{Room: string(head.id), Err: err})
		e.wakeAt(head.id, time.Now().Add(retryFailure))
		return
	}
	succeeded = true
	if s.spent.requests > 0 || len(s.here) > 0 {
		e.trace.Emit(trace.PDUSought{
			Room: string(head.id), Waiting: len(s.waiting), Missing: s.missing, Found: s.found, Asked: s.spent.requests,
			Duration: time.Since(s.begun),
		})
	}
}

// search is one search. It belongs to its goroutine.
type search struct {
	*inquiry
	begun time.Time

	waiting []*sought
	absent  map[ident.EventID]*wanted // what is not stored; what is found is taken out
	here    []persistence.Staging     // missing from the graph, but not from the store: they need not be fetched
	costs   map[int64]*cost           // by Staging.Event
	long    bool                      // so many events of gaps are quarantined that no more are to be fetched
	until   int64                     // ms; when it is not 0 the room's budget is used up until then
	missing int                       // absent at the beginning
	found   int
	problem error // the last refusal or failure of another server
}

// sought is a quarantined event with what the search knows of it.
type sought struct {
	persistence.Staging
	before  int  // references that were not stored when the search began
	absent  int  // and now
	parents int  // those of them whose place in the graph is needed
	placed  bool // on a state that was given
	asked   bool // others were asked for its sake
}

// wanted is a missing event.
type wanted struct {
	parent bool // of one of them, else an auth event
	turn   int  // how many others the first that misses it misses before it
	by     []reference
}

// reference is that of a quarantined event to a missing one.
type reference struct {
	from   *sought
	parent bool
}

// plan finds out what is missing. Missing events that are quarantined themselves are not asked for: what they miss is.
func (s *search) plan(ctx context.Context, e *Engine, head *room) error {
	now := s.begun.UnixMilli()
	err := e.store.View(ctx, func(tx *persistence.Tx) error {
		list, err := tx.DueByOrigin(head.nid, now, maxSought)
		if err != nil {
			return err
		}
		for _, w := range list {
			if err := s.planFor(tx, &sought{Staging: w}); err != nil {
				return err
			}
		}
		if s.long, err = isLong(tx, head.nid); err != nil {
			return err
		}
		budget, until, err := roomBudget(tx, head.nid, now)
		s.inquiry, s.until = e.inquire(head, budget), until
		return err
	})
	if err != nil {
		return fmt.Errorf("plan a search: %w", err)
	}
	s.missing = len(s.absent)
	return nil
}

func (s *search) planFor(tx *persistence.Tx, w *sought) error {
	missing, err := tx.Awaited(w.Event)
	if err != nil {
		return err
	}
	s.waiting = append(s.waiting, w)
	for _, m := range missing {
		nid, outcome, inGraph, found, err := tx.EventExists(m.ID)
		if err != nil {
			return err
		}
		if !found {
			s.want(m, w)
			continue
		}
		if !m.InGraph || inGraph || Outcome(outcome) == Staged {
			continue
		}
		if _, staged, err := tx.StagedEvent(nid); err != nil {
			return err
		} else if staged {
			continue // it is sought for on its own account, the others that this one misses are not
		}
		s.here = append(s.here, persistence.Staging{
			Event: nid, Room: w.Room, Origin: w.Origin, Arrival: int(arrivedFromGap), ReceivedAt: s.begun.UnixMilli(),
		})
	}
	return nil
}

// want notes that an event is not stored.
func (s *search) want(m persistence.Missing, by *sought) {
	a := s.absent[m.ID]
	if a == nil {
		a = &wanted{turn: by.before}
		s.absent[m.ID] = a
	}
	a.parent = a.parent || m.InGraph
	a.by = append(a.by, reference{by, m.InGraph})
	by.before++
	by.absent++
	if m.InGraph {
		by.parents++
	}
}

// isLong says whether so many events of the room's gaps have been fetched and still wait that no more are to be.
func isLong(tx *persistence.Tx, room int64) (bool, error) {
	total := 0
	for _, how := range []Arrival{arrivedFromGap, arrivedAlone} {
		n, err := tx.ArrivedCount(room, int(how), maxGap)
		if err != nil {
			return false, err
		}
		total += n
	}
	return total >= maxGap, nil
}

// roomBudget is what a search may spend, bounded by what is left of what the room may spend in an hour. When nothing is left, until
// says when there will be.
func roomBudget(tx *persistence.Tx, room, now int64) (budget spending, until int64, err error) {
	since, spent, err := tx.SpentOnRoom(room)
	if err != nil {
		return spending{}, 0, err
	}
	budget = spending{maxSearchRequests, maxSearchBytes}
	end := since + budgetPeriod.Milliseconds()
	if end <= now {
		return budget, 0, nil
	}
	budget.requests = min(budget.requests, maxRoomRequests-spent.Requests)
	budget.bytes = min(budget.bytes, maxRoomBytes-spent.Bytes)
	if budget.requests <= 0 || budget.bytes <= 0 {
		until = end
	}
	return budget, until, nil
}
