// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// placeGiven is placeOn outside of the room's turn: where the room's policy server has not signed the event, that is asked first. It
// cannot be asked as about other events, which are judged anew when it has answered: this one would wait for its parents again.
func (e *Engine) placeGiven(ctx context.Context, id ident.EventID, g *givenState) (placed bool, err error) {
	place := func(b *batch) (err error) {
		placed, err = b.placeOn(id, g)
		return err
	}
	err = e.do(ctx, g.room, true, place)
	var unsigned *unsignedError
	if !errors.As(err, &unsigned) {
		return placed, err
	}
	r, err := e.storedRecord(ctx, id)
	if err != nil {
		return false, err
	}
	begun, said := time.Now(), answer{event: id, server: unsigned.server}
	signed, problem := e.askSignature(ctx, unsigned.server, r.event)
	if cause := context.Cause(ctx); cause != nil {
		return false, cause
	}
	said.problem = problem
	e.tellAsked(g.room, []answer{said}, begun)
	err = e.do(ctx, g.room, true, func(b *batch) error {
		if _, err := b.takeAnswer(said, signed); err != nil {
			return err
		}
		return place(b)
	})
	return placed, err
}

// placeOn judges a quarantined event some of whose parents nobody gives, on a state before it that other servers gave. What is
// known here has its say: the given state is resolved with those after the parents that are here. The missing parents become
// gaps of the room. The event is not placed if it is not staged any more, or rests on something that is still missing.
func (b *batch) placeOn(id ident.EventID, g *givenState) (placed bool, err error) {
	if err := b.mustBeJoined(); err != nil {
		return false, err
	}
	r, err := b.stored(id)
	if err != nil || r.inGraph {
		return false, err
	}
	s, staged, err := b.stagingOf(r)
	if err != nil || !staged {
		return false, err
	}
	root, err := b.adoptGiven(g)
	if err != nil {
		return false, err
	}
	if r, err = b.stored(id); err != nil {
		return false, err
	}
	if missing, _, err := b.missing(r, true); err != nil || len(missing) > 0 {
		return false, err
	}
	v := b.newVerdict(r, s)
	v.Checks = append(v.Checks, Check{
		ID: "P-91", OK: true, Rule: "P-87",
		Detail: fmt.Sprintf("parents are missing; the state before it is as %s gave it, verified event by event", g.via),
	})
	before := b.head.current
	if placed, err = b.judgePlaced(r, s, v, root); err != nil {
		return false, err
	}
	return placed, b.seekUntold(before, g)
}

// judgePlaced judges an event on a given state, and then those that waited for it.
func (b *batch) judgePlaced(r *record, s persistence.Staging, v Verdict, given state.Root) (placed bool, err error) {
	before, err := b.withKnownParents(r, given)
	if err != nil {
		return false, err
	}
	own, first, was := b.change(r), !r.known(), r.outcome
	b.fetched[own.event.ID()] = Arrival(s.Arrival) != arrivedInTransaction
	b.onGiven = own.event.ID()
	if err := b.judgeOn(own, before, &v); err != nil {
		return false, err
	}
	if first {
		b.cite(own)
	}
	if err := b.explain(own, &v); err != nil {
		return false, err
	}
	b.askIfTurned(was, own)
	if err := b.openGaps(own.event); err != nil {
		return false, err
	}
	b.lookBack = true
	b.settle(own, v, s)
	if err := b.place(own); err != nil {
		return false, err
	}
	return true, b.judgeWaiting()
}

// withKnownParents resolves a given state with those after the event's parents that are in the graph.
func (b *batch) withKnownParents(r *record, given state.Root) (state.Root, error) {
	roots := []state.Root{given}
	for _, id := range r.event.PrevEvents() {
		p, err := b.record(id)
		if err != nil {
			return state.Root{}, err
		}
		if p != nil && p.inGraph && p.event.RoomID() == b.id {
			roots = append(roots, p.after)
		}
	}
	return b.resolve(roots)
}

// stagingOf reads the staging of an event.
func (b *batch) stagingOf(r *record) (s persistence.Staging, found bool, err error) {
	err = b.e.store.View(b.ctx, func(tx *persistence.Tx) (err error) {
		s, found, err = tx.StagedEvent(r.nid)
		return err
	})
	if err != nil {
		return persistence.Staging{}, false, fmt.Errorf("read the staging of %s: %w", r.event.ID(), err)
	}
	return s, found, nil
}
