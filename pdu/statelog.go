// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"slices"

	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// The states that a room goes through are kept by position, so that what anyone was told since a position can be said exactly:
//
//	position    7         8           9                10
//	event       topic     name        power levels     -
//	state       before    before      before           what resolution made of it all: the name is
//	            + topic   + name      + power levels   the one before again
//
// At an event's position the state is as whoever folds the timeline has it: the one before, and the event in its slot. Where resolution
// has come to something else at the end of the turn, that is a change without an event, at a position of its own in the same job.

// step is what an event that gets its position makes of the state.
type step struct {
	given *state.Root // the state that came with it, told before it; nil for none
	told  state.Root
	gap   bool // what is before the event is missing
}

// delivers says whether an event gets its position: it is one to be told, and has not been.
func (b *batch) delivers(r *record) bool {
	return r.outcome == Accepted && r.inGraph && r.position == 0 && r.past != history && !b.holdsBack(r)
}

// planSteps computes the states at the positions that the batch will give, outside of its job.
func (b *batch) planSteps() (err error) {
	told := b.recorded
	for _, r := range b.order {
		if !b.delivers(r) {
			continue
		}
		var s step
		if b.adopted && r.event.ID() == b.head.extremities[0].record.event.ID() {
			s.given, told = &r.before, r.before
		}
		if r.before == told {
			told = r.after
		} else if told, err = b.stateAfter(r.event, told); err != nil {
			return err
		}
		s.told = told
		s.gap = slices.ContainsFunc(r.event.PrevEvents(), func(id ident.EventID) bool { return b.gapAt[id] })
		b.steps[r.event.ID()] = s
	}
	return nil
}

// position gives an event its place in the sequence, and the room's state at it.
func (b *batch) position(tx *persistence.Tx, r *record) (err error) {
	s := b.steps[r.event.ID()]
	if s.given != nil {
		if err := b.recordSilent(tx, *s.given); err != nil {
			return err
		}
	}
	if r.position, err = tx.NextPosition(); err != nil || s.told == b.recorded && !s.gap {
		return err
	}
	return b.recordState(tx, persistence.RoomState{Position: r.position, Gap: s.gap}, s.told)
}

// recordSilent notes that the state is another, if it is, which no event says.
func (b *batch) recordSilent(tx *persistence.Tx, root state.Root) error {
	if root == b.recorded {
		return nil
	}
	at, err := tx.NextPosition()
	if err != nil {
		return err
	}
	return b.recordState(tx, persistence.RoomState{Position: at, Silent: true}, root)
}

func (b *batch) recordState(tx *persistence.Tx, row persistence.RoomState, root state.Root) error {
	row.Room, row.Root, b.recorded = b.head.nid, root[:], root
	return tx.AddRoomState(row)
}
