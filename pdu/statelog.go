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
// decides otherwise, that is a change without an event, at a position of its own, next in the same job.

// step is what an accepted event makes of the current state.
type step struct {
	before state.Root
	told   state.Root // before, with the event in its slot
	after  state.Root
	gap    bool // what is before the event is missing
}

// note keeps the step that r was, for when it gets its position. The room's head has made it already.
func (b *batch) note(r *record, before state.Root) (err error) {
	if b.unwatched || r.position != 0 {
		return nil
	}
	s := step{before: before, told: r.after, after: b.head.current}
	s.gap = slices.ContainsFunc(r.event.PrevEvents(), func(id ident.EventID) bool { return b.gapAt[id] })
	if r.before != before {
		if s.told, err = b.stateAfter(r.event, before); err != nil {
			return err
		}
	}
	b.steps[r.event.ID()] = s
	return nil
}

// position gives an event its place in the sequence, and the room's state its places around it.
func (b *batch) position(tx *persistence.Tx, r *record) (err error) {
	s, moved := b.steps[r.event.ID()]
	if moved {
		if err := b.recordSilent(tx, s.before); err != nil {
			return err
		}
	}
	if r.position, err = tx.NextPosition(); err != nil || !moved {
		return err
	}
	if s.told != b.recorded || s.gap {
		if err := b.recordState(tx, persistence.RoomState{Position: r.position, Gap: s.gap}, s.told); err != nil {
			return err
		}
	}
	return b.recordSilent(tx, s.after)
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
