// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Events are judged again when what they were judged by turns out to be otherwise: the state before a join was not whole, or an
// event that they rest on is no longer rejected, or is now. Outcomes and states are then those that they would have had. What
// users have seen keeps its position, though it be refused now; what they have not seen gets one, and comes late.
//
// All of it happens in one turn of the room, and in one commit if not more than maxAgain events change. Beyond that it is
// stored in parts: states and outcomes first, the head of the room and the end of the promise last. A crash in between leaves the
// promise, so it is all done again: every event that follows is judged, also those whose parents seem unchanged because they were
// stored already (whole).
type again struct {
	b     *batch
	cause string // for the records
	seeds map[ident.EventID]bool
	given map[ident.EventID]state.Root // states that are not those after the parents
	whole bool
	anew  bool     // the extremities are built anew, in the order of the events
	moves bool     // out of the graph: the states at them were never whole, and will not be
	past  []string // checks that what was accepted has passed for good

	judged map[ident.EventID]bool // judged again
	moved  map[ident.EventID]bool // of them, those after which the state is another
	turned map[ident.EventID]bool // those that are rejected now and were not, or the other way
	fallen []ident.EventID        // those that are no longer accepted
	risen  []ident.EventID        // those that are now
}

func (b *batch) newAgain(cause string) *again {
	return &again{
		b: b, cause: cause, past: []string{"P-29", "P-30"}, seeds: map[ident.EventID]bool{}, given: map[ident.EventID]state.Root{},
		judged: map[ident.EventID]bool{}, moved: map[ident.EventID]bool{}, turned: map[ident.EventID]bool{},
	}
}

// judgeAllSince judges a join and all that follows it again, on another state before it. Nothing that follows has a smaller number
// than first.
func (b *batch) judgeAllSince(join *record, before state.Root, first int64) error {
	a := b.newAgain("M-12: the whole state is known now")
	a.seeds[join.event.ID()], a.given[join.event.ID()] = true, before
	a.whole, a.anew = true, true
	a.past = []string{"P-30"} // nothing soft-failed while members were missing
	held := map[ident.EventID]bool{}
	for _, x := range b.head.held {
		held[x.record.event.ID()] = true
	}
	b.head.extremities, b.head.held, b.head.current = nil, nil, state.Root{}
	b.unwatched = true
	if err := b.eachFrom(first, a.visit); err != nil {
		return err
	}
	var extremities []*extremity
	for _, x := range b.head.extremities {
		if held[x.record.event.ID()] {
			b.head.held = append(b.head.held, x)
		} else {
			extremities = append(extremities, x)
		}
	}
	return b.setExtremities(extremities)
}

// judgeAgainFrom judges events of the graph again with everything that rests on them or follows them. turned says that they have
// been judged anew already, so that what rests on them must be.
func (b *batch) judgeAgainFrom(cause string, whole, turned bool, ids ...ident.EventID) error {
	a := b.newAgain(cause)
	a.whole = whole
	for _, id := range ids {
		a.seeds[id] = true
		if turned {
			a.turned[id] = true
		}
	}
	if err := b.eachFrom(1, a.visit); err != nil {
		return err
	}
	return a.settleHeads()
}

// displaceSince takes a join, the state before which was never whole, and all that follows it out of the graph: they are outliers from
// before another join now. The room is marked as partial by the old join until that other one is stored: after a crash in between it is
// all done again.
func (b *batch) displaceSince(p *partial) error {
	a := b.newAgain("its room was left before the whole state was known: its place is not known any more")
	a.seeds[p.join] = true
	a.whole, a.moves = true, true
	return b.eachFrom(p.first, a.visit)
}

// visit judges an event again if it must be.
func (a *again) visit(r *record) error {
	if r.outcome != Staged && a.concerns(r) {
		if err := a.judge(r); err != nil {
			return fmt.Errorf("judge %s again: %w", r.event.ID(), err)
		}
	}
	if !a.anew {
		return a.storePart()
	}
	now, err := a.b.stored(r.event.ID())
	if err != nil {
		return err
	}
	if now.inGraph && now.past == live && now.outcome == Accepted {
		if err := a.b.advance(now, false); err != nil {
			return err
		}
	}
	return a.storePart()
}

func (a *again) concerns(r *record) bool {
	if a.seeds[r.event.ID()] {
		return true
	}
	parents, auth := a.moved, a.turned
	if a.whole {
		parents, auth = a.judged, a.judged
	}
	for _, id := range r.event.AuthEvents() {
		if auth[id] || a.turned[id] {
			return true
		}
	}
	if !r.inGraph && !a.moves { // else it may have been moved out before a crash, and what follows it not
		return false
	}
	return slices.ContainsFunc(r.event.PrevEvents(), func(id ident.EventID) bool { return parents[id] })
}

// judge judges one event again. What was accepted is not held to the current state of today, nor to its policy server.
func (a *again) judge(r *record) error {
	b, id, was := a.b, r.event.ID(), *r
	v, recorded, err := b.verdictBefore(r)
	if err != nil {
		return err
	}
	own, quarantined := b.change(r), v.Outcome == Quarantined && !r.inGraph
	if a.moves && own.inGraph {
		own.inGraph, own.before, own.after, own.past = false, state.Root{}, state.Root{}, history
	}
	if own.inGraph {
		if b.passed = nil; was.outcome == Accepted {
			b.passed = a.past
		}
		if _, entry := a.given[id]; entry { // the join: a server in the room has held it to the present of then, which we do not know
			b.passed = append(slices.Clone(b.passed), "P-29")
		}
		err = a.judgeInGraph(own, &v)
		b.passed = nil
	} else {
		own.outcome = Staged
		err = b.judgeAsOutlier(own, &v)
	}
	if err != nil {
		return err
	}
	if err := b.explain(own, &v); err != nil {
		return err
	}
	if quarantined { // it still waits for its place in the graph
		v.Outcome = Quarantined
	}
	a.judged[id] = true
	if own.after != was.after {
		a.moved[id] = true
	}
	if own.outcome == was.outcome {
		if recorded {
			b.settled[id] = judged{v, true}
		}
		return nil
	}
	note := Check{ID: "again", OK: true, Rule: "again", Detail: fmt.Sprintf("%s; it was %s before", a.cause, was.outcome)}
	if was.position != 0 {
		note.Detail += fmt.Sprintf(" and delivered at position %d", was.position)
	}
	v.Checks = slices.Insert(v.Checks, 0, note)
	b.settled[id] = judged{v, true}
	a.note(id, was.outcome, own.outcome)
	return nil
}

// judgeInGraph judges an event on the state before it: that after its parents, unless it came with another.
func (a *again) judgeInGraph(own *record, v *Verdict) error {
	before, given := a.given[own.event.ID()]
	if !given {
		whole, err := a.b.hasParents(own)
		if err != nil {
			return err
		}
		if before = own.before; whole {
			if before, err = a.b.stateBefore(own.event); err != nil {
				return err
			}
		}
	}
	err := a.b.judgeOn(own, before, v)
	if unsigned := (*unsignedError)(nil); errors.As(err, &unsigned) { // AskPolicy has it signed, if the server will
		own.outcome, v.Outcome = SoftFailed, SoftFailed
		v.Checks = append(v.Checks, Check{ID: "P-30", Rule: "M-104", Detail: unsigned.Error()})
		own.after, err = a.b.stateAfter(own.event, before)
	}
	return err
}

func (a *again) note(id ident.EventID, was, now Outcome) {
	if (was == Rejected) != (now == Rejected) {
		a.turned[id] = true
		a.b.noteOutcome(was, now)
	}
	if was == Accepted {
		a.fallen = append(a.fallen, id)
	}
	if now == Accepted {
		a.risen = append(a.risen, id)
	}
}

// hasParents says whether all parents of an event are in the graph.
func (b *batch) hasParents(r *record) (bool, error) {
	for _, id := range r.event.PrevEvents() {
		p, err := b.record(id)
		if err != nil || p == nil || !p.inGraph {
			return false, err
		}
	}
	return true, nil
}

// verdictBefore is the verdict to fill in, with what the record of the event says of its coming.
func (b *batch) verdictBefore(r *record) (v Verdict, recorded bool, err error) {
	var came persistence.EventArrival
	var row persistence.Verdict
	err = b.e.store.View(b.ctx, func(tx *persistence.Tx) (err error) {
		if came, _, err = tx.EventArrival(r.event.ID()); err != nil {
			return err
		}
		row, recorded, err = tx.Verdict(r.event.ID())
		return err
	})
	if err != nil {
		return Verdict{}, false, fmt.Errorf("read how it came: %w", err)
	}
	if recorded {
		came.Origin, came.Arrival, came.ReceivedAt = row.Origin, row.Arrival, row.ReceivedAt
	}
	v = b.newVerdict(r, persistence.Staging{
		Origin: came.Origin, Arrival: came.Arrival, Txn: row.Txn, ReceivedAt: came.ReceivedAt, Attempts: row.Searches, Note: row.Note,
	})
	v.Outcome = Outcome(row.Outcome)
	return v, recorded, nil
}

// storePart stores what has changed so far, if it is much. The head of the room, and with it the promise, stay as they are.
func (a *again) storePart() error {
	b := a.b
	if len(b.order) < maxAgain {
		return nil
	}
	head, part := b.head, *b
	part.head = *b.was
	if !a.anew && !a.moves {
		part.askAgain(atOnce, slices.Sorted(maps.Keys(a.seeds))...)
	}
	if err := part.commit(); err != nil {
		return err
	}
	next, err := b.e.newBatch(b.ctx, b.id)
	if err != nil {
		return err
	}
	next.head, next.unwatched = head, b.unwatched
	*b = *next
	return b.refreshHeads()
}

// refreshHeads makes the extremities those of the records as they are now.
func (b *batch) refreshHeads() error {
	for _, list := range []*[]*extremity{&b.head.extremities, &b.head.held} {
		fresh := make([]*extremity, 0, len(*list))
		for _, x := range *list {
			r, err := b.stored(x.record.event.ID())
			if err != nil {
				return err
			}
			fresh = append(fresh, extremityOf(r))
		}
		*list = fresh
	}
	return nil
}
