// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// cursor is the name of the subscription that says how far the derived rows go.
const cursor = "homeserver stream"

// batchRows is how many rows of each source one batch takes: the job that stores what is derived of them stays short.
const batchRows = 500

// maxBehind is how far the stored cursor may be behind: a start reads so much again.
const maxBehind = 10_000

// Rooms is the room engine, as far as the feed reads it.
type Rooms interface {
	PlacedOf(row persistence.Event) (pdu.Placed, error)
	Placed(ctx context.Context, id ident.EventID) (pdu.Placed, error)
	StateIn(ctx context.Context, root state.Root, slot event.StateKey) (ident.EventID, error)
	StateChanges(ctx context.Context, from, to state.Root) ([]state.Change, error)
}

// Deriver keeps rows that follow from what happens.
type Deriver interface {
	// Derive gives what stores the rows of a batch, in the job that moves the cursor, or nil when there are none. A batch may come again.
	Derive(ctx context.Context, batch Batch) (write func(*persistence.Tx) error, err error)
}

// Dispatcher tells who waits. Dispatch is called with one batch after the other, when what is derived of it is durable; it must not wait.
type Dispatcher interface {
	Dispatch(batch Batch)
}

// FeedConfig is what a feed is made of.
type FeedConfig struct {
	Self     ident.ServerName
	Store    *persistence.Store
	Progress *Progress // that of the store
	Rooms    Rooms
	Derive   []Deriver // in order
	Dispatch Dispatcher
	// Company is the rooms that a user, of whatever server, is in.
	Company func(ctx context.Context, user ident.UserID) ([]ident.RoomID, error)
}

// Feed works everything off that gets a position, in order: derive, commit, then dispatch. Run's goroutine owns it; the others read its
// ring, and of its progress how far it is.
type Feed struct {
	cfg   FeedConfig
	ring  *Ring
	saved persistence.Position // the cursor
}

// NewFeed makes a feed. Nothing is worked off before Run.
func NewFeed(cfg FeedConfig) *Feed {
	return &Feed{cfg: cfg, ring: newRing()}
}

// Ring is the last changes.
func (f *Feed) Ring() *Ring { return f.ring }

// Run works off what comes until ctx ends.
func (f *Feed) Run(ctx context.Context) error {
	err := f.run(ctx)
	if ctx.Err() != nil || errors.Is(err, persistence.ErrClosed) {
		return nil
	}
	return fmt.Errorf("homeserver stream: %w", err)
}

func (f *Feed) run(ctx context.Context) error {
	var at persistence.Position
	err := f.cfg.Store.View(ctx, func(tx *persistence.Tx) (err error) {
		at, err = tx.Cursor(cursor)
		return err
	})
	f.saved = at
	for err == nil {
		news := f.cfg.Store.Grown() // before reading: what comes after the read closes it
		var more bool
		if at, more, err = f.step(ctx, at); more || err != nil {
			continue
		}
		f.cfg.Progress.open()
		select {
		case <-news:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// step works one batch off; more says that there is more already.
func (f *Feed) step(ctx context.Context, at persistence.Position) (next persistence.Position, more bool, err error) {
	batch, more, err := f.read(ctx, at)
	if err != nil {
		return at, false, err
	}
	if err := f.derive(ctx, batch); err != nil {
		return at, false, fmt.Errorf("derive rows: %w", err)
	}
	f.ring.add(batch)
	f.cfg.Progress.advance(batch.Through)
	f.cfg.Dispatch.Dispatch(batch)
	return batch.Through, more, nil
}

// derive stores what follows from a batch and moves the cursor, in one job. Where nothing follows the cursor stays, as long as that is
// not too far behind: what is read again then has nothing in it either.
func (f *Feed) derive(ctx context.Context, batch Batch) error {
	var writes []func(*persistence.Tx) error
	for _, d := range f.cfg.Derive {
		write, err := d.Derive(ctx, batch)
		if err != nil {
			return err
		}
		if write != nil {
			writes = append(writes, write)
		}
	}
	if len(writes) == 0 && batch.Through-f.saved < maxBehind {
		return nil
	}
	err := f.cfg.Store.Update(ctx, func(tx *persistence.Tx) error {
		for _, write := range writes {
			if err := write(tx); err != nil {
				return err
			}
		}
		return tx.MoveCursor(cursor, batch.Through)
	})
	if err == nil {
		f.saved = batch.Through
	}
	return err
}

// rows is what a batch is made of, as it is stored.
type rows struct {
	events  []persistence.Event
	gaps    []bool // of each of events
	states  []persistence.RoomState
	before  []persistence.RoomState // of each of states
	rooms   []persistence.Room      // likewise
	entries []Entry
	through persistence.Position
	more    bool
}

// read gives the next batch.
func (f *Feed) read(ctx context.Context, after persistence.Position) (batch Batch, more bool, err error) {
	var r rows
	err = f.cfg.Store.View(ctx, func(tx *persistence.Tx) (err error) {
		r, err = readRows(tx, after)
		return err
	})
	if err != nil {
		return Batch{}, false, err
	}
	batch = Batch{After: after, Through: r.through}
	for i, row := range r.events {
		c, err := f.eventChange(ctx, row)
		if err != nil {
			return Batch{}, false, err
		}
		c.Gap = r.gaps[i]
		batch.Changes = append(batch.Changes, c)
	}
	for i, row := range r.states {
		c, err := f.stateChange(ctx, row, r.before[i], r.rooms[i])
		if err != nil {
			return Batch{}, false, err
		}
		batch.Changes = append(batch.Changes, c)
	}
	for _, e := range r.entries {
		c := Change{Entry: e}
		if e.Kind.OfCompany() {
			if c.Company, err = f.cfg.Company(ctx, e.User); err != nil {
				return Batch{}, false, err
			}
		}
		batch.Changes = append(batch.Changes, c)
	}
	slices.SortFunc(batch.Changes, func(x, y Change) int { return cmp.Compare(x.Position, y.Position) })
	return batch, r.more, nil
}

// readRows reads up to batchRows of each source after a position. Where one has more, the batch ends with it.
func readRows(tx *persistence.Tx, after persistence.Position) (r rows, err error) {
	r.through = tx.LastPosition()
	if r.events, err = tx.EventsSince(after, batchRows); err != nil {
		return rows{}, err
	}
	if r.states, err = tx.SilentStatesSince(after, batchRows); err != nil {
		return rows{}, err
	}
	if r.entries, err = Since(tx, after, batchRows); err != nil {
		return rows{}, err
	}
	end := func(n int, last func() persistence.Position) {
		if n == batchRows {
			r.through, r.more = min(r.through, last()), true
		}
	}
	end(len(r.events), func() persistence.Position { return r.events[batchRows-1].Position })
	end(len(r.states), func() persistence.Position { return r.states[batchRows-1].Position })
	end(len(r.entries), func() persistence.Position { return r.entries[batchRows-1].Position })
	r.events = slices.DeleteFunc(r.events, func(e persistence.Event) bool { return e.Position > r.through })
	r.states = slices.DeleteFunc(r.states, func(s persistence.RoomState) bool { return s.Position > r.through })
	r.entries = slices.DeleteFunc(r.entries, func(e Entry) bool { return e.Position > r.through })
	for _, e := range r.events {
		at, _, err := tx.RoomStateAt(e.RoomNID, e.Position)
		if err != nil {
			return rows{}, err
		}
		r.gaps = append(r.gaps, at.Gap && at.Position == e.Position)
	}
	for _, s := range r.states {
		before, _, err := tx.RoomStateAt(s.Room, s.Position-1)
		if err != nil {
			return rows{}, err
		}
		room, _, err := tx.RoomByNID(s.Room)
		if err != nil {
			return rows{}, err
		}
		r.before, r.rooms = append(r.before, before), append(r.rooms, room)
	}
	return r, nil
}

// eventChange is an event with what it does to users of ours.
func (f *Feed) eventChange(ctx context.Context, row persistence.Event) (Change, error) {
	placed, err := f.cfg.Rooms.PlacedOf(row)
	if err != nil {
		return Change{}, err
	}
	e := placed.Event
	c := Change{Entry: Entry{Position: row.Position, Kind: Event, Room: e.RoomID(), User: e.Sender()}, RoomNID: row.RoomNID, Event: e.ID(), Placed: &placed}
	member, ok := e.Membership()
	if !ok {
		return c, nil
	}
	slot, _ := e.Slot()
	before, err := f.cfg.Rooms.StateIn(ctx, placed.Before, slot)
	if err != nil {
		return Change{}, err
	}
	was, err := f.membership(ctx, before)
	if err != nil {
		return Change{}, err
	}
	c.Moves = counted(was) != counted(member.Membership)
	if user := ident.UserID(slot.Key); user.Server() == f.cfg.Self {
		c.Members = []Member{{User: user, Was: was, Membership: member.Membership, Event: e.ID()}}
	}
	return c, nil
}

// counted is what a membership counts as for who is told how many are in a room.
func counted(membership string) string {
	if membership == "join" || membership == "invite" {
		return membership
	}
	return ""
}

// membership is what a member event says, "leave" where there is none.
func (f *Feed) membership(ctx context.Context, id ident.EventID) (string, error) {
	if id == "" {
		return "leave", nil
	}
	placed, err := f.cfg.Rooms.Placed(ctx, id)
	if err != nil {
		return "", err
	}
	member, _ := placed.Event.Membership()
	return member.Membership, nil
}

// stateChange is a change of state with what it does to users of ours.
func (f *Feed) stateChange(ctx context.Context, row, before persistence.RoomState, room persistence.Room) (Change, error) {
	c := Change{Entry: Entry{Position: row.Position, Kind: State, Room: room.ID}, RoomNID: row.Room}
	var from, to state.Root
	copy(from[:], before.Root)
	copy(to[:], row.Root)
	changes, err := f.cfg.Rooms.StateChanges(ctx, from, to)
	if err != nil {
		return Change{}, err
	}
	for _, change := range changes {
		c.Slots = append(c.Slots, change.Key)
		if change.Key.Type != "m.room.member" {
			continue
		}
		member := Member{User: ident.UserID(change.Key.Key), Event: change.B}
		if member.Was, err = f.membership(ctx, change.A); err != nil {
			return Change{}, err
		}
		if member.Membership, err = f.membership(ctx, change.B); err != nil {
			return Change{}, err
		}
		c.Moves = c.Moves || counted(member.Was) != counted(member.Membership)
		if member.User.Server() != f.cfg.Self {
			continue
		}
		c.Members = append(c.Members, member)
	}
	return c, nil
}
