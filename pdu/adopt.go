// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/transport/ident"
)

// BeginJoin makes the room known: from now on PDUs for it are staged, not refused, and wait for the end of the join. It does
// nothing to a room that is joined. The version is what a server said of whom nothing was verified: until a join succeeds, another
// server may say another, and then what was staged under the first is forgotten.
func (e *Engine) BeginJoin(ctx context.Context, id ident.RoomID, version string) error {
	v, ok := event.VersionOf(version)
	if !ok {
		return fmt.Errorf("begin join of %s: room version %q is not known", id, version)
	}
	return e.do(ctx, id, true, func(b *batch) error {
		b.forget = b.head.nid != 0 && b.head.version != v
		if b.forget && b.head.create != "" {
			return fmt.Errorf("begin join of %s: room version %s, but it was %s before", id, version, b.head.version.ID)
		}
		if b.head.nid == 0 || b.head.membership != Joined {
			b.head.version, b.head.membership = v, Joining
		}
		return nil
	})
}

// AbandonJoin ends what BeginJoin began, when the join failed. It does nothing to a room that is joined.
func (e *Engine) AbandonJoin(ctx context.Context, id ident.RoomID) error {
	return e.do(ctx, id, true, func(b *batch) error {
		if b.head.nid == 0 {
			return fmt.Errorf("abandon join of %s: %w", id, ErrUnknownRoom)
		}
		if b.head.membership == Joining {
			b.head.membership = Left
		}
		return nil
	})
}

// AdoptRoom is the joiner's side of send_join. Everything is verified: signatures and hashes, each event against its own auth
// events, the join against the state. A state event that fails is left out with a verdict; without a create event, or
// without what the join rests on, or the keys of via, nothing is adopted. Then, in one job, the events are stored, and the room
// is joined with the join as its only extremity. What was staged meanwhile is judged after it.
func (e *Engine) AdoptRoom(ctx context.Context, version string, join *event.Event, state, authChain []*event.Event,
	via ident.ServerName,
) error {
	return e.adoptRoom(ctx, version, join, state, authChain, via, nil)
}

func (e *Engine) adoptRoom(ctx context.Context, version string, join *event.Event, state, authChain []*event.Event,
	via ident.ServerName, o *omission,
) error {
	a, err := e.verifyAdoption(ctx, version, join, state, authChain, via, o != nil)
	if err == nil && a.unkeyed > 0 && o == nil { // what was left out may be had later, like members that were
		o = &omission{}
	}
	if err == nil {
		err = e.do(ctx, join.RoomID(), true, func(b *batch) error { return b.adopt(a, via, o) })
	}
	if err == nil && o != nil {
		e.completeSoon()
	}
	if err != nil {
		return fmt.Errorf("adopt room %s from %s: %w", join.RoomID(), via, err)
	}
	return nil
}

// adopt stores a verified room.
func (b *batch) adopt(a *adoption, via ident.ServerName, o *omission) error {
	if b.head.nid != 0 && b.head.membership == Joined {
		return errors.New("it is joined already")
	}
	if b.head.nid != 0 && b.head.create != "" && b.head.create != a.create {
		return fmt.Errorf("its create event is %s, not %s", b.head.create, a.create)
	}
	b.head.version, b.head.create = a.join.Version(), a.create
	if err := b.endPartial(); err != nil {
		return err
	}
	root, err := b.adoptGiven(a.givenState)
	if err != nil {
		return err
	}
	if err := b.adoptCreate(); err != nil {
		return err
	}
	if err := b.adoptJoin(a.join, root); err != nil {
		return err
	}
	return b.beginPartial(a.join, via, o)
}

// adoptCreate puts the create event in the graph: its place is known, since it has no parents.
func (b *batch) adoptCreate() error {
	r, err := b.stored(b.head.create)
	if err != nil || r.inGraph {
		return err
	}
	own := b.change(r)
	own.inGraph, own.before = true, state.Root{}
	own.after, err = b.stateAfter(own.event, own.before)
	return err
}

// adoptJoin makes the join the room's only extremity, on the state that came with it.
func (b *batch) adoptJoin(join *event.Event, root state.Root) error {
	r, err := b.record(join.ID())
	if err != nil {
		return err
	}
	if r == nil {
		r = &record{event: join, redacted: join.HashMismatch()}
	}
	own := b.change(r)
	own.past = live // it may have been in the state too
	own.outcome, own.inGraph, own.before = Accepted, true, root
	if own.after, err = b.stateAfter(own.event, root); err != nil {
		return err
	}
	b.cite(own)
	if own.nid != 0 {
		b.unstaged = append(b.unstaged, unstaging{own.nid, true})
	}
	if err := b.openGaps(join); err != nil {
		return err
	}
	b.head.extremities, b.head.held = []*extremity{extremityOf(own)}, nil
	b.head.current = own.after
	b.head.membership, b.adopted, b.lookBack = Joined, true, true
	return nil
}
