// SPDX-License-Identifier: Apache-2.0

package roomview

import (
	"context"
	"fmt"
	"sync"

	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// View reads rooms. Its methods may be called from any goroutine.
type View struct {
	engine *pdu.Engine
	store  *persistence.Store
	feed   *stream.Progress
	counts *countsByRoot
	known  *memberships

	numbers sync.Map // of rooms, which never change: ident.RoomID → int64
}

// New makes the view of a server's rooms, as far as a feed has worked off what happens in them.
func New(engine *pdu.Engine, store *persistence.Store, feed *stream.Progress) *View {
	return &View{engine: engine, store: store, feed: feed, counts: newCounts(), known: newMemberships()}
}

// Now is the position as of which a request looks at rooms: whoever asks has all in it that they were answered before.
func (v *View) Now(ctx context.Context) (persistence.Position, error) { return v.feed.Now(ctx) }

// CatchUp waits until all that is in the store is in what Now gives, however long that takes: for who must not miss anything.
func (v *View) CatchUp(ctx context.Context) error { return v.feed.CatchUp(ctx) }

// Reached is the position through which those have been woken who wait.
func (v *View) Reached() persistence.Position { return v.feed.Reached() }

// Rooms is how a user stands to every room as of a position that the feed has worked off.
func (v *View) Rooms(ctx context.Context, user ident.UserID, at persistence.Position) ([]Membership, error) {
	rows, generation, ok := v.known.get(user)
	if !ok {
		err := v.store.View(ctx, func(tx *persistence.Tx) (err error) {
			rows, err = Memberships(tx, user)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("rooms of %s: %w", user, err)
		}
		v.known.put(user, rows, generation)
	}
	var list []Membership
	for _, m := range rows { // by room, then by position
		if m.Position > at {
			continue
		}
		if n := len(list); n > 0 && list[n-1].Room == m.Room {
			list[n-1] = m
		} else {
			list = append(list, m)
		}
	}
	return list, nil
}

// Joined is the rooms that a user is in as of a position.
func (v *View) Joined(ctx context.Context, user ident.UserID, at persistence.Position) (joined []ident.RoomID, err error) {
	list, err := v.Rooms(ctx, user, at)
	for _, m := range list {
		if m.Membership == "join" {
			joined = append(joined, m.Room)
		}
	}
	return joined, err
}

// Locals is the users of ours who have to do with a room, or had, and whether they are joined as of a position.
func (v *View) Locals(ctx context.Context, room ident.RoomID, at persistence.Position) (joined map[ident.UserID]bool, err error) {
	err = v.store.View(ctx, func(tx *persistence.Tx) (err error) {
		joined, err = locals(tx, room, at)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("users of ours in %s: %w", room, err)
	}
	return joined, nil
}

// Stays is how a user has stood to a room, in order.
func (v *View) Stays(ctx context.Context, user ident.UserID, room ident.RoomID) (list []Membership, err error) {
	err = v.store.View(ctx, func(tx *persistence.Tx) (err error) {
		list, err = Stays(tx, user, room)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("how %s stands to %s: %w", user, room, err)
	}
	return list, nil
}

// StateAsOf is the state of a room as of a position, the zero root before the first.
func (v *View) StateAsOf(ctx context.Context, room int64, at persistence.Position) (root state.Root, err error) {
	err = v.store.View(ctx, func(tx *persistence.Tx) (err error) {
		root, err = pdu.StateAsOf(tx, room, at)
		return err
	})
	if err != nil {
		return state.Root{}, fmt.Errorf("state of room %d as of %d: %w", room, at, err)
	}
	return root, nil
}

// Slot is the event in a slot of a state, nil when it is empty.
func (v *View) Slot(ctx context.Context, root state.Root, slot event.StateKey) (*event.Event, error) {
	id, err := v.engine.StateIn(ctx, root, slot)
	if err != nil || id == "" {
		return nil, err
	}
	placed, err := v.engine.Placed(ctx, id)
	if err != nil {
		return nil, err
	}
	return placed.Event, nil
}

// Number is the number of a room in the store, 0 when it is not stored.
func (v *View) Number(ctx context.Context, room ident.RoomID) (nid int64, err error) {
	if known, ok := v.numbers.Load(room); ok {
		return known.(int64), nil
	}
	err = v.store.View(ctx, func(tx *persistence.Tx) error {
		row, found, err := tx.Room(room)
		if nid = row.NID; found {
			v.numbers.Store(room, nid)
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("number of %s: %w", room, err)
	}
	return nid, nil
}
