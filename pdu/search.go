// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
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
		if resting, anyResting, err = tx.NextReady(head.nid); err != nil {
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
	if !e.beginSearch(head.id) {
		e.wakeAt(head.id, now.Add(retryFailure))
		return nil
	}
	go e.search(&head)
	return nil
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
// anything that arrives: the room's next turn judges it, and with it those that waited.
func (e *Engine) search(head *room) {
	succeeded := false
	defer func() { e.endSearch(head.id, succeeded) }()
	ctx, cancel := context.WithTimeout(e.stopped, searchTimeout)
	defer cancel()
	s := &search{
		inquiry: e.inquire(head, spending{maxSearchRequests, maxSearchBytes}), begun: time.Now(), absent: map[ident.EventID]wanted{},
	}
	err := s.plan(ctx)
	if err == nil {
		if failure := s.run(ctx); failure != nil {
			s.problem = failure
		}
		err = s.postpone() // whatever has happened: those that were sought for must not be in the way of others
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
	e.trace.Emit(trace.PDUSought{
		Room: string(head.id), Waiting: len(s.waiting), Missing: s.missing, Found: s.found, Asked: s.spent.requests, Duration: time.Since(s.begun),
	})
}

// search is one search. It belongs to its goroutine.
type search struct {
	*inquiry
	begun time.Time

	waiting []persistence.Staging    // quarantined events that are due
	latest  []persistence.Staging    // those of them with parents that are not stored
	absent  map[ident.EventID]wanted // what is not stored; what is found is taken out
	here    []persistence.Staging    // missing from the graph, but not from the store: they need not be fetched
	missing int                      // absent at the beginning
	found   int
	problem error // the last refusal or failure of another server
}

// wanted is a missing event.
type wanted struct {
	inGraph bool                // a parent, else an auth event
	by      persistence.Staging // an event that references it
}

// plan finds out what is missing. Missing events that are quarantined themselves are not asked for: what they miss is.
func (s *search) plan(ctx context.Context) error {
	err := s.e.store.View(ctx, func(tx *persistence.Tx) (err error) {
		if s.waiting, err = tx.WaitingEvents(s.head.nid, s.begun.UnixMilli(), maxSought); err != nil {
			return err
		}
		for _, w := range s.waiting {
			if err := s.planFor(tx, w); err != nil {
				return err
			}
		}
		return nil
	})
	s.missing = len(s.absent)
	return err
}

func (s *search) planFor(tx *persistence.Tx, w persistence.Staging) error {
	missing, err := tx.Awaited(w.Event)
	if err != nil {
		return err
	}
	parents := false
	for _, m := range missing {
		nid, outcome, inGraph, found, err := tx.EventExists(m.ID)
		if err != nil {
			return err
		}
		if found {
			if m.InGraph && !inGraph && Outcome(outcome) != Staged {
				s.here = append(s.here, persistence.Staging{
					Event: nid, Room: w.Room, Origin: w.Origin, Arrival: int(arrivedFromGap), ReceivedAt: s.begun.UnixMilli(),
				})
			}
			continue
		}
		before := s.absent[m.ID]
		s.absent[m.ID] = wanted{inGraph: m.InGraph || before.inGraph, by: w}
		parents = parents || m.InGraph
	}
	if parents {
		s.latest = append(s.latest, w)
	}
	return nil
}

// run asks for the gaps first and then for single events.
func (s *search) run(ctx context.Context) error {
	for len(s.latest) > 0 && s.parentsAbsent() {
		if err := s.closeGap(ctx, s.latest[0]); err != nil {
			return err
		}
		s.latest = s.latest[1:]
	}
	budget := maxSingleEvents
	for _, id := range slices.Sorted(maps.Keys(s.absent)) {
		w, still := s.absent[id]
		if !still {
			continue
		}
		if budget--; budget < 0 {
			break
		}
		if err := s.fetch(ctx, id, w); err != nil {
			return err
		}
	}
	return nil
}

func (s *search) parentsAbsent() bool {
	for _, w := range s.absent {
		if w.inGraph {
			return true
		}
	}
	return false
}

// closeGap asks servers for the events between our extremities and a quarantined event until one has some that we lack.
func (s *search) closeGap(ctx context.Context, w persistence.Staging) error {
	for _, server := range s.servers(w) {
		events, err := s.inquiry.missingEvents(ctx, server, w.ID)
		if err != nil {
			s.problem = err
			continue
		}
		before := len(s.absent)
		if err := s.takeIn(ctx, server, arrivedFromGap, events); err != nil {
			return err
		}
		if len(s.absent) < before {
			return nil
		}
	}
	return nil
}

// fetch asks servers for one event until one has it.
func (s *search) fetch(ctx context.Context, id ident.EventID, w wanted) error {
	how := arrivedAsAuthEvent
	if w.inGraph {
		how = arrivedAlone
	}
	for _, server := range s.servers(w.by) {
		events, err := s.inquiry.event(ctx, server, id)
		if err != nil {
			s.problem = err
			continue
		}
		if err := s.takeIn(ctx, server, how, events); err != nil {
			return err
		}
		if _, still := s.absent[id]; !still {
			return nil
		}
	}
	return nil
}

// servers is whom to ask: the one that sent the event, then others in the room, at each attempt different ones.
func (s *search) servers(w persistence.Staging) []ident.ServerName {
	list := []ident.ServerName{w.Origin}
	others := slices.Sorted(maps.Keys(s.head.servers))
	others = slices.DeleteFunc(others, func(name ident.ServerName) bool { return name == s.e.self || name == w.Origin })
	for i := range others {
		if len(list) == maxAskedServers {
			break
		}
		list = append(list, others[(w.Attempts*(maxAskedServers-1)+i)%len(others)])
	}
	return slices.DeleteFunc(list, func(name ident.ServerName) bool { return name == s.e.self })
}

// takeIn checks and stages events of this room that were asked for (P-91).
func (s *search) takeIn(ctx context.Context, from ident.ServerName, how Arrival, events [][]byte) error {
	i := &intake{e: s.e, origin: from, arrival: how, now: nowMS(), results: map[ident.EventID]string{}}
	for _, wire := range events {
		if id, _, _ := peek(wire); id != s.head.id && id != "" {
			continue // not what was asked for
		}
		if err := i.take(ctx, wire); err != nil {
			return err
		}
	}
	if err := i.check(ctx); err != nil {
		return err
	}
	if err := s.e.store.Update(ctx, i.stage); err != nil {
		return fmt.Errorf("stage missing events: %w", err)
	}
	for _, in := range i.arrived {
		if in.bad {
			continue
		}
		if in.nid == 0 && !in.skip {
			s.found++
		}
		delete(s.absent, in.event.ID())
	}
	return nil
}

// postpone says when the events are due again, should they still wait then.
func (s *search) postpone() error {
	note := fmt.Sprintf("%d events found, %d still missing", s.found, len(s.absent))
	if s.problem != nil {
		note += ": " + s.problem.Error()
	}
	now := time.Now()
	return s.e.store.Update(s.e.stopped, func(tx *persistence.Tx) error {
		for _, outlier := range s.here {
			if err := tx.Stage(outlier); err != nil {
				return err
			}
		}
		for _, w := range s.waiting {
			attempts := w.Attempts + 1
			if err := tx.Retry(w.Event, attempts, now.Add(retryAfter(attempts)).UnixMilli(), note); err != nil {
				return err
			}
		}
		return nil
	})
}
