// SPDX-License-Identifier: Apache-2.0

package dispatch

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxIdle is how many users who wait for nothing are remembered with their rooms: some 20 KB for one in 300 rooms.
const maxIdle = 1000

// Memberships reads in which rooms a user is as of a position.
type Memberships func(ctx context.Context, user ident.UserID, at persistence.Position) (joined []ident.RoomID, err error)

// Ring gives the last changes.
type Ring interface {
	Between(after, through persistence.Position) (list []stream.Change, whole bool)
}

// Dispatcher knows who waits. mu guards all below it, and is held for map operations and the waiters' own predicates only.
type Dispatcher struct {
	rooms Memberships

	told, idle atomic.Int64 // of the requests that were woken

	mu      sync.Mutex
	through persistence.Position
	users   map[ident.UserID]*user
	byRoom  map[ident.RoomID]map[*user]bool
	parked  int
}

// user is somebody live: who waits, or did lately.
type user struct {
	id      ident.UserID
	rooms   map[ident.RoomID]bool // joined, as of through
	waiters map[*waiter]bool
}

// waiter is a request that waits.
type waiter struct {
	after persistence.Position // what it knows
	woken chan struct{}        // closed, once
	match func(*stream.Change) bool
	fired bool
}

// New makes a dispatcher.
func New(rooms Memberships) *Dispatcher {
	return &Dispatcher{rooms: rooms, users: map[ident.UserID]*user{}, byRoom: map[ident.RoomID]map[*user]bool{}}
}

// Dispatch implements stream.Dispatcher.
func (d *Dispatcher) Dispatch(batch stream.Batch) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range batch.Changes {
		d.tell(&batch.Changes[i])
	}
	d.through = batch.Through
}

// tell wakes those whom a change concerns, and keeps up with where live users are.
func (d *Dispatcher) tell(c *stream.Change) {
	told := map[*user]bool{}
	if c.Kind.OfRoom() {
		for u := range d.byRoom[c.Room] {
			told[u] = true
		}
	} else if u := d.users[c.User]; u != nil && u.owns(c) {
		told[u] = true
	}
	for _, room := range c.Company {
		for u := range d.byRoom[room] {
			told[u] = true
		}
	}
	for _, m := range c.Members {
		if u := d.users[m.User]; u != nil {
			d.move(u, c.Room, m.Membership == "join")
			told[u] = true
		}
	}
	for u := range told {
		u.tell(c)
	}
}

func (u *user) tell(c *stream.Change) {
	for w := range u.waiters {
		w.tell(c)
	}
}

func (w *waiter) tell(c *stream.Change) {
	if c.Position > w.after && !w.fired && w.match(c) {
		w.fired = true
		close(w.woken)
	}
}

func (d *Dispatcher) move(u *user, room ident.RoomID, joined bool) {
	if u.rooms[room] == joined {
		return
	}
	if !joined {
		delete(u.rooms, room)
		delete(d.byRoom[room], u)
		if len(d.byRoom[room]) == 0 {
			delete(d.byRoom, room)
		}
		return
	}
	u.rooms[room] = true
	if d.byRoom[room] == nil {
		d.byRoom[room] = map[*user]bool{}
	}
	d.byRoom[room][u] = true
}

// Wait parks until a change after a position concerns a user, ctx ends or the time is up; woken says that it was the first.
func (d *Dispatcher) Wait(ctx context.Context, id ident.UserID, after persistence.Position, ring Ring, up <-chan time.Time,
	match func(*stream.Change) bool,
) (woken bool, err error) {
	w := &waiter{after: after, woken: make(chan struct{}), match: match}
	if err := d.park(ctx, id, after, ring, w); err != nil {
		return false, err
	}
	defer d.leave(id, w)
	select {
	case <-w.woken:
		return true, nil
	case <-up:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// Composed notes whether a request that was woken then had something to say.
func (d *Dispatcher) Composed(something bool) {
	if something {
		d.told.Add(1)
	} else {
		d.idle.Add(1)
	}
}

// Figures are what a dispatcher counts.
type Figures struct {
	Waiting          int   // requests, now
	Told, ForNothing int64 // requests that were woken, by whether they then had something to say
}

// Figures gives what has been counted.
func (d *Dispatcher) Figures() Figures {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Figures{Waiting: d.parked, Told: d.told.Load(), ForNothing: d.idle.Load()}
}

// park puts a waiter into its user's list, and tells it what has been dispatched since it looked.
func (d *Dispatcher) park(ctx context.Context, id ident.UserID, after persistence.Position, ring Ring, w *waiter) error {
	for {
		d.mu.Lock()
		u, through := d.users[id], d.through
		if u != nil {
			u.waiters[w] = true
			d.parked++
			missed, whole := ring.Between(after, max(after, through))
			for i := range missed {
				if u.concerns(&missed[i]) {
					w.tell(&missed[i])
				}
			}
			if !whole && !w.fired {
				w.fired = true
				close(w.woken)
			}
			d.mu.Unlock()
			return nil
		}
		d.mu.Unlock()
		if err := d.load(ctx, id, through); err != nil {
			return err
		}
	}
}

// owns says whether a change is the user's own.
func (u *user) owns(c *stream.Change) bool {
	return c.User == u.id && !c.Kind.OfRoom() && (c.Room == "" || u.rooms[c.Room] || !c.Kind.InRoom())
}

// concerns says whether a change of before a waiter was parked is one that its user is told of.
func (u *user) concerns(c *stream.Change) bool {
	return c.Kind.OfRoom() && u.rooms[c.Room] || u.owns(c) ||
		slices.ContainsFunc(c.Company, func(room ident.RoomID) bool { return u.rooms[room] }) ||
		slices.ContainsFunc(c.Members, func(m stream.Member) bool { return m.User == u.id })
}

// load makes a user live, if nothing was dispatched while their rooms were read.
func (d *Dispatcher) load(ctx context.Context, id ident.UserID, through persistence.Position) error {
	joined, err := d.rooms(ctx, id, through)
	if err != nil {
		return fmt.Errorf("rooms of %s: %w", id, err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.users[id] != nil || d.through != through {
		return nil
	}
	u := &user{id: id, rooms: map[ident.RoomID]bool{}, waiters: map[*waiter]bool{}}
	d.users[id] = u
	for _, room := range joined {
		d.move(u, room, true)
	}
	d.evict()
	return nil
}

// evict forgets users who wait for nothing when there are too many.
func (d *Dispatcher) evict() {
	for _, u := range d.users {
		if len(d.users) <= maxIdle+d.parked {
			return
		}
		if len(u.waiters) == 0 {
			for room := range u.rooms {
				d.move(u, room, false)
			}
			delete(d.users, u.id)
		}
	}
}

func (d *Dispatcher) leave(id ident.UserID, w *waiter) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.users[id]; u != nil && u.waiters[w] {
		delete(u.waiters, w)
		d.parked--
	}
}

// Forget forgets all who wait for nothing: what is remembered of them is read again.
func (d *Dispatcher) Forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, u := range d.users {
		if len(u.waiters) > 0 {
			continue
		}
		for room := range u.rooms {
			d.move(u, room, false)
		}
		delete(d.users, u.id)
	}
}
