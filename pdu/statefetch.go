// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// fetchState gets the state before an event from other servers, and verifies it (P-87, P-91). The first few servers that answer
// count: where they differ, the answer that differs least from the others is taken, so that one liar among three is
// outvoted. Events whose signatures cannot be verified are left out. Nothing is stored.
func (q *inquiry) fetchState(ctx context.Context, at ident.EventID, servers []ident.ServerName) (*givenState, error) {
	answers, problem := q.stateAnswers(ctx, at, servers)
	for _, a := range answers {
		if len(a.from) < len(answers[0].from) {
			break // what was outvoted is not taken because the others are slow
		}
		given, err := q.verifyState(ctx, at, a)
		if err == nil {
			return given, nil
		}
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		q.note(a.from[0], "state_ids", err.Error())
		problem = errors.Join(problem, fmt.Errorf("the state of %s: %w", a.from[0], err))
	}
	if problem == nil {
		problem = errors.New("there is nobody to ask")
	}
	return nil, fmt.Errorf("fetch the state before %s: %w", at, problem)
}

// stateAnswer is a state that servers claim.
type stateAnswer struct {
	from  []ident.ServerName // who gave it; the first one's chain is taken
	state []ident.EventID    // sorted
	chain []ident.EventID
}

// stateAnswers asks until enough servers have answered, or two agree, and gives the answers, the likeliest first.
func (q *inquiry) stateAnswers(ctx context.Context, at ident.EventID, servers []ident.ServerName) (answers []*stateAnswer, problem error) {
	got := 0
	for _, server := range servers[:min(len(servers), maxStateServers)] {
		if server == q.e.self {
			continue
		}
		state, chain, err := q.stateIDs(ctx, server, at)
		if err != nil {
			problem = err // the last one will do: all are in the record of whom was asked
			continue
		}
		slices.Sort(state)
		got++
		same := slices.IndexFunc(answers, func(a *stateAnswer) bool { return slices.Equal(a.state, state) })
		if same >= 0 {
			answers[same].from = append(answers[same].from, server)
			break
		}
		answers = append(answers, &stateAnswer{from: []ident.ServerName{server}, state: state, chain: chain})
		if got == maxStateAnswers {
			break
		}
	}
	rankAnswers(answers)
	return answers, problem
}

// rankAnswers puts first what differs least from what others said. Of equals the one that was asked for first stays first.
func rankAnswers(answers []*stateAnswer) {
	distance := map[*stateAnswer]int{}
	for _, a := range answers {
		for _, other := range answers {
			distance[a] += len(other.from) * differing(a.state, other.state)
		}
	}
	slices.SortStableFunc(answers, func(a, b *stateAnswer) int { return distance[a] - distance[b] })
}

// differing counts what is in only one of two sorted lists.
func differing(a, b []ident.EventID) (n int) {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] == b[0]:
			a, b = a[1:], b[1:]
			continue
		case a[0] < b[0]:
			a = a[1:]
		default:
			b = b[1:]
		}
		n++
	}
	return n + len(a) + len(b)
}

// verifyState gets the events of an answer that are not stored, and verifies all.
func (q *inquiry) verifyState(ctx context.Context, at ident.EventID, a *stateAnswer) (*givenState, error) {
	here, err := q.e.records(ctx, append(slices.Clone(a.state), a.chain...))
	if err != nil {
		return nil, err
	}
	f := &stateFetch{inquiry: q, at: at, from: a.from, events: map[ident.EventID]*event.Event{}, missing: map[ident.EventID]bool{}}
	total := 0
	for _, id := range append(slices.Clone(a.state), a.chain...) {
		if r := here[id]; r != nil {
			f.events[id] = r.event
		} else {
			f.missing[id] = true
		}
		total++
	}
	if err := f.fetch(ctx, total); err != nil {
		return nil, err
	}
	if err := f.addKnown(ctx, here); err != nil {
		return nil, err
	}
	g := newGivenState(q.head.version, q.head.id, a.from[0], here)
	g.strict = q.strict
	if err := g.gather(f.listed(a.state), slices.Collect(maps.Values(f.events))); err != nil {
		return nil, err
	}
	if q.head.create != "" && g.create != q.head.create {
		return nil, fmt.Errorf("its create event is %s, not %s", g.create, q.head.create)
	}
	if err := g.verifySignatures(ctx, keyring{source: q.e.keys, notary: q.notary}); err != nil {
		return nil, err
	}
	g.traceDropped(q.e.trace, "state")
	g.judgeAll(f.authOf(ctx)...)
	if g.outcomes[g.create] != Accepted {
		return nil, fmt.Errorf("the create event %s is not valid", g.create)
	}
	return g, nil
}

// stateFetch gets events that a state consists of.
type stateFetch struct {
	*inquiry
	at      ident.EventID
	from    []ident.ServerName
	events  map[ident.EventID]*event.Event
	missing map[ident.EventID]bool
}

// fetch gets what is missing: all at once if it is much, else one by one, and what is not to be had singly all at once too. A state
// of which an event cannot be had is refused.
func (f *stateFetch) fetch(ctx context.Context, total int) error {
	many := len(f.missing) > fewSingleEvents && len(f.missing)*wholeStateFrom >= total || len(f.missing) > maxStateSingles
	if many {
		f.fetchWhole(ctx)
	}
	if n := len(f.missing); n > maxStateSingles {
		return fmt.Errorf("%d of its events are not given", n)
	}
	var problem error
	for _, id := range slices.Sorted(maps.Keys(f.missing)) {
		if problem = f.fetchOne(ctx, id); problem != nil {
			break
		}
	}
	if len(f.missing) > 0 && !many {
		f.fetchWhole(ctx)
	}
	if len(f.missing) > 0 {
		return problem
	}
	return nil
}

func (f *stateFetch) fetchWhole(ctx context.Context) {
	for _, server := range f.from {
		if len(f.missing) == 0 {
			return
		}
		if list, err := f.state(ctx, server, f.at); err == nil {
			f.take(list)
		}
	}
}

func (f *stateFetch) fetchOne(ctx context.Context, id ident.EventID) error {
	var problem error
	for _, server := range f.from {
		list, err := f.event(ctx, server, id)
		if err == nil {
			f.take(list)
		}
		if !f.missing[id] {
			return nil
		}
		problem = err
	}
	if problem == nil {
		problem = errors.New("another event, or none, was given")
	}
	return fmt.Errorf("its event %s: %w", id, problem)
}

// take keeps those of the events that are missing.
func (f *stateFetch) take(list [][]byte) {
	for _, wire := range list {
		x, err := event.ParseBackfilled(f.head.version, wire)
		if err == nil && f.missing[x.ID()] {
			f.events[x.ID()] = x
			delete(f.missing, x.ID())
		}
	}
}

// addKnown adds what is stored of that on which the events rest but which the answer does not name: our own knowledge completes
// an auth chain.
func (f *stateFetch) addKnown(ctx context.Context, here map[ident.EventID]*record) error {
	var unnamed []ident.EventID
	for _, x := range f.events {
		for _, id := range x.AuthEvents() {
			if f.events[id] == nil {
				unnamed = append(unnamed, id)
			}
		}
	}
	slices.Sort(unnamed)
	found, err := f.e.records(ctx, slices.Compact(unnamed))
	if err != nil {
		return err
	}
	for id, r := range found {
		if r.known() && r.event.RoomID() == f.head.id {
			here[id], f.events[id] = r, r.event
		}
	}
	return nil
}

// authOf is what the event itself rests on, which need not be in the state any more. It is known if the event is.
func (f *stateFetch) authOf(ctx context.Context) []ident.EventID {
	if x := f.chunk[f.at]; x != nil {
		return x.AuthEvents()
	}
	r, err := f.e.storedRecord(ctx, f.at)
	if err != nil {
		return nil
	}
	return r.event.AuthEvents()
}

func (f *stateFetch) listed(ids []ident.EventID) []*event.Event {
	list := make([]*event.Event, len(ids))
	for i, id := range ids {
		list[i] = f.events[id]
	}
	return list
}
