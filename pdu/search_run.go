// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// cost is what the questions for one quarantined event cost, and how they ended.
type cost struct {
	persistence.SearchCost
	answers map[ident.ServerName]string
}

// charge runs questions that are asked for a quarantined event's sake, and notes what they cost.
func (s *search) charge(w *sought, questions func() error) error {
	c := s.costs[w.Event]
	if c == nil {
		c = &cost{answers: map[ident.ServerName]string{}}
		s.costs[w.Event] = c
	}
	w.asked = true
	before, begun := s.spent, time.Now()
	s.asked = c.answers
	err := questions()
	c.Requests += s.spent.requests - before.requests
	c.Bytes += s.spent.bytes - before.bytes
	c.Spent += time.Since(begun).Milliseconds()
	return err
}

// run asks for the gaps first, then for single events, and then, of those whose parents nobody seems to have, for the state.
func (s *search) run(ctx context.Context) error {
	if s.until != 0 {
		return nil
	}
	for _, w := range s.waiting {
		if w.parents == 0 || s.tooLong(w) || ctx.Err() != nil {
			continue
		}
		if err := s.charge(w, func() error { return s.closeGap(ctx, w) }); err != nil {
			return err
		}
	}
	if err := s.fetchSingle(ctx); err != nil {
		return err
	}
	for _, w := range s.waiting {
		if !s.stranded(w) || time.Since(s.begun) > searchTimeout {
			continue
		}
		if err := s.charge(w, func() error { return s.placeOnState(w) }); err != nil {
			return err
		}
	}
	return s.believeRemoval(ctx)
}

// stranded says whether an event's parents have been asked for in vain often enough, or follow a gap that is too long. A server that
// does not answer may have them: for that, there is more patience.
func (s *search) stranded(w *sought) bool {
	if w.parents == 0 {
		return false
	}
	return w.Attempts >= stateAfter && len(s.silent) == 0 || w.Attempts >= stateAfterSilence || s.tooLong(w)
}

// tooLong says whether an event was fetched for a gap that is to be walked back no further.
func (s *search) tooLong(w *sought) bool { return s.long && Arrival(w.Arrival) != arrivedInTransaction }

// closeGap asks servers for the events between our extremities and a quarantined event until one has a parent that we lack.
func (s *search) closeGap(ctx context.Context, w *sought) error {
	parents := w.parents
	for _, server := range s.servers(w) {
		if w.parents < parents || w.parents == 0 {
			return nil
		}
		events, err := s.missingEvents(ctx, server, w.ID)
		if err != nil {
			s.problem = err
			continue
		}
		if err := s.takeIn(ctx, server, arrivedFromGap, events); err != nil {
			return err
		}
	}
	return nil
}

// fetchSingle asks for events by their ids, for each that waits the first that it misses before the second of any: what one of them
// names must not use up what there is for all. In a gap that is too long parents are not wanted.
func (s *search) fetchSingle(ctx context.Context) error {
	budget := maxSingleEvents
	order := slices.SortedFunc(maps.Keys(s.absent), func(x, y ident.EventID) int {
		return cmp.Or(cmp.Compare(s.absent[x].turn, s.absent[y].turn), cmp.Compare(x, y))
	})
	for _, id := range order {
		want, still := s.absent[id]
		if !still || want.parent && s.tooLong(want.by[0].from) {
			continue
		}
		if budget--; budget < 0 || ctx.Err() != nil {
			return nil
		}
		for _, r := range want.by {
			r.from.asked = true
		}
		if err := s.charge(want.by[0].from, func() error { return s.fetch(ctx, id, want) }); err != nil {
			return err
		}
	}
	return nil
}

// fetch asks servers for one event until one has it.
func (s *search) fetch(ctx context.Context, id ident.EventID, want *wanted) error {
	how := arrivedAsAuthEvent
	if want.parent {
		how = arrivedAlone
	}
	for _, server := range s.servers(want.by[0].from) {
		events, err := s.event(ctx, server, id)
		if err != nil {
			s.problem = err
			continue
		}
		if err := s.takeIn(ctx, server, how, events); err != nil {
			return err
		}
		if s.absent[id] == nil {
			s.note(server, "event", "given")
			return nil
		}
		s.note(server, "event", "not given")
	}
	return nil
}

// placeOnState has the state before an event given, and the event judged on it. A large state takes longer than a search may.
func (s *search) placeOnState(w *sought) error {
	ctx, cancel := context.WithTimeout(s.e.stopped, stateTimeout)
	defer cancel()
	servers := s.servers(w)
	if len(servers) == 0 {
		return nil
	}
	// A key that cannot be had now may be had later. It is waited for as long as for that of any event.
	s.strict = s.begun.Sub(time.UnixMilli(w.ReceivedAt)) < keptUnverified
	given, err := s.fetchState(ctx, w.ID, servers)
	if err == nil {
		w.placed, err = s.e.placeGiven(ctx, w.ID, given)
	}
	if err != nil {
		s.problem = err
		return s.ownFailure(err)
	}
	return nil
}

// ownFailure tells failures of the store, and the end of the engine, from those that other servers can cause.
func (s *search) ownFailure(err error) error {
	if s.e.stopped.Err() != nil || !ofOneEvent(err) || errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// servers is whom to ask: the one that sent the event, then others in the room, at each attempt different ones. Those that did not
// answer in this search are left out.
func (s *search) servers(w *sought) []ident.ServerName {
	list := make([]ident.ServerName, 0, maxAskedServers)
	if w.Origin != s.e.self && !s.silent[w.Origin] {
		list = append(list, w.Origin)
	}
	others := slices.Sorted(maps.Keys(s.head.servers))
	others = slices.DeleteFunc(others, func(name ident.ServerName) bool {
		return name == s.e.self || name == w.Origin || s.silent[name]
	})
	for i := range others {
		if len(list) == maxAskedServers {
			break
		}
		list = append(list, others[(w.Attempts*(maxAskedServers-1)+i)%len(others)])
	}
	return list
}

// takeIn checks and stages events of this room that were asked for (P-91).
func (s *search) takeIn(ctx context.Context, from ident.ServerName, how Arrival, events [][]byte) error {
	i := &intake{e: s.e, origin: from, arrival: how, now: nowMS(), results: map[ident.EventID]string{}}
	events = slices.DeleteFunc(slices.Clone(events), func(wire []byte) bool {
		id, _, _ := event.Peek(wire)
		return id != s.head.id && id != "" // not what was asked for
	})
	if err := i.take(ctx, events...); err != nil {
		return err
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
		s.arrived(in.event.ID())
	}
	return nil
}

// arrived takes an event out of what is absent.
func (s *search) arrived(id ident.EventID) {
	want := s.absent[id]
	if want == nil {
		return
	}
	delete(s.absent, id)
	for _, r := range want.by {
		r.from.absent--
		if r.parent {
			r.from.parents--
		}
	}
}

// conclude says when the events are due again, should they still wait then, and records what was spent.
func (s *search) conclude() error {
	now := time.Now()
	return s.e.store.Update(s.e.stopped, func(tx *persistence.Tx) error {
		for _, outlier := range s.here {
			if err := tx.Stage(outlier); err != nil {
				return err
			}
		}
		total := persistence.SearchCost{Requests: s.spent.requests, Bytes: s.spent.bytes, Spent: now.Sub(s.begun).Milliseconds()}
		if err := tx.SpendOnRoom(s.head.nid, now.UnixMilli(), budgetPeriod.Milliseconds(), total); err != nil {
			return err
		}
		for _, w := range s.waiting {
			if err := s.concludeFor(tx, w, now); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *search) concludeFor(tx *persistence.Tx, w *sought, now time.Time) error {
	if _, still, err := tx.StagedEvent(w.Event); err != nil || !still {
		return err
	}
	if c := s.costs[w.Event]; c != nil {
		answers := make([]persistence.SearchAnswer, 0, len(c.answers))
		for server, result := range c.answers {
			answers = append(answers, persistence.SearchAnswer{Server: server, AskedAt: now.UnixMilli(), Result: result})
		}
		if err := tx.AddSearch(w.Event, c.SearchCost, answers); err != nil {
			return err
		}
	}
	switch {
	case s.until != 0:
		return tx.Postpone(w.Event, s.until, "the room's budget for questions to other servers is used up for now")
	case w.absent == 0:
		return s.rest(tx, w, now)
	}
	if !w.asked {
		return tx.Postpone(w.Event, now.Add(retryFirst).UnixMilli(), "the search was over before its turn came")
	}
	note := fmt.Sprintf("%d events found, %d of its references still missing", s.found, w.absent)
	if s.problem != nil {
		note += ": " + s.problem.Error()
	}
	if w.absent < w.before { // it goes on at once
		return tx.Postpone(w.Event, now.UnixMilli(), note)
	}
	attempts := w.Attempts + 1
	return tx.Retry(w.Event, attempts, now.Add(retryAfter(attempts)).UnixMilli(), note)
}

// rest has an event wait for what it misses, all of which is staged and wakes it. What was judged while the search ran, and only by its
// auth events, does not: it is looked at again soon.
func (s *search) rest(tx *persistence.Tx, w *sought, now time.Time) error {
	missing, err := tx.Awaited(w.Event)
	if err != nil {
		return err
	}
	for _, m := range missing {
		nid, _, _, found, err := tx.EventExists(m.ID)
		if err != nil {
			return err
		}
		if found {
			_, found, err = tx.StagedEvent(nid)
		}
		if err != nil {
			return err
		}
		if !found {
			return tx.Postpone(w.Event, now.Add(retryFirst).UnixMilli(), "what it misses was judged meanwhile, by its auth events alone")
		}
	}
	return tx.Postpone(w.Event, now.Add(retryResting).UnixMilli(), "what it misses is here, and waits to be judged")
}
