// SPDX-License-Identifier: Apache-2.0

package ephemeral

import (
	"context"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Schema is the tables of this package, a step of the homeserver's annex.
const Schema = typingSchema + receiptsSchema + presenceSchema

// Limits.
const (
	maxTyping     = 2 * time.Minute  // how long a client may say that somebody types
	usualTyping   = 30 * time.Second // what is taken where none is given, and of users of other servers (M-50)
	maxStatus     = 1024             // bytes of status_msg
	maxThread     = 255              // bytes of thread_id
	maxQueued     = 4096             // of what other servers told
	writtenAtOnce = 256
	lookAround    = 5 * time.Second // how often expired typing and absent users are looked for
	absentAfter   = time.Minute     // without a sync a user is offline
	activeEvery   = time.Minute     // how exactly it is known when who syncs was last active
)

// Teller tells other servers. *messaging.Server is one.
type Teller interface {
	SendTyping(ctx context.Context, room ident.RoomID, user ident.UserID, typing bool) error
	SendReceipt(ctx context.Context, r messaging.Receipt) error
	SendPresence(ctx context.Context, u messaging.PresenceUpdate) error
}

// Rooms knows who is in them. *pdu.Engine is one.
type Rooms interface {
	// MayAct tells whether a user takes part in a room.
	MayAct(ctx context.Context, room ident.RoomID, user ident.UserID) (bool, error)
	// Meets tells whether a user shares a room with a user of ours.
	Meets(tx *persistence.Tx, user ident.UserID) (bool, error)
}

// Config is what Ephemeral is made of; all of it is needed but NoPresence.
type Config struct {
	Self   ident.ServerName
	Store  *persistence.Store // its annex has Schema
	Teller Teller
	Rooms  Rooms
	// NoPresence keeps no presence: nobody is anything but offline, and nobody is told.
	NoPresence bool
}

// Ephemeral serves typing, receipts and presence. What is waiting to be written is in its queue, and who syncs in attendance, which has
// its own lock; all else is in the store.
type Ephemeral struct {
	self       ident.ServerName
	store      *persistence.Store
	teller     Teller
	rooms      Rooms
	noPresence bool
	told       chan func(tx *persistence.Tx, now time.Time) error
	attendance attendance
}

var (
	_ messaging.Typing   = (*Ephemeral)(nil)
	_ messaging.Receipts = (*Ephemeral)(nil)
	_ messaging.Presence = (*Ephemeral)(nil)
)

// New makes it of what stands in the store. Nothing that other servers tell is written before Run.
func New(cfg Config) *Ephemeral {
	return &Ephemeral{
		self: cfg.Self, store: cfg.Store, teller: cfg.Teller, rooms: cfg.Rooms, noPresence: cfg.NoPresence,
		told:       make(chan func(*persistence.Tx, time.Time) error, maxQueued),
		attendance: attendance{users: map[ident.UserID]*attendee{}},
	}
}

// Routes are the endpoints.
func (e *Ephemeral) Routes() []api.Route {
	const v3 = "/_matrix/client/v3/"
	return []api.Route{
		{Method: "PUT", Pattern: v3 + "rooms/{roomID}/typing/{userID}", Handle: e.putTyping},
		{Method: "POST", Pattern: v3 + "rooms/{roomID}/receipt/{type}/{eventID}", Handle: e.postReceipt},
		{Method: "POST", Pattern: v3 + "rooms/{roomID}/read_markers", Handle: e.postMarkers},
		{Method: "PUT", Pattern: v3 + "presence/{userID}/status", Handle: e.putPresence},
		{Method: "GET", Pattern: v3 + "presence/{userID}/status", Handle: e.getPresence},
	}
}

// Run writes what other servers tell, and what time brings, until ctx ends. An error is the store's.
func (e *Ephemeral) Run(ctx context.Context) error {
	ticks := time.NewTicker(lookAround)
	defer ticks.Stop()
	begin := e.recall
	if e.noPresence {
		begin = e.forgetPresence
	}
	if err := begin(ctx, time.Now()); err != nil && ctx.Err() == nil {
		return err
	}
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case first := <-e.told:
			err = e.write(ctx, first)
		case now := <-ticks.C:
			err = e.lookAround(ctx, now)
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
	}
}

// tell queues something to be written, unless there is too much already.
func (e *Ephemeral) tell(write func(*persistence.Tx, time.Time) error) {
	select {
	case e.told <- write:
	default:
	}
}

// write writes what is queued, in one job.
func (e *Ephemeral) write(ctx context.Context, first func(*persistence.Tx, time.Time) error) error {
	batch := []func(*persistence.Tx, time.Time) error{first}
	for len(batch) < writtenAtOnce && len(e.told) > 0 { // nobody else takes from it
		batch = append(batch, <-e.told)
	}
	return e.store.Update(ctx, func(tx *persistence.Tx) error {
		now := time.Now()
		for _, f := range batch {
			if err := f(tx, now); err != nil {
				return err
			}
		}
		return nil
	})
}

// lookAround ends what has expired.
func (e *Ephemeral) lookAround(ctx context.Context, now time.Time) error {
	if err := e.expireTyping(ctx, now); err != nil {
		return err
	}
	return e.expirePresence(ctx, now)
}

// take checks that the caller is in the room of the path.
func (e *Ephemeral) take(ctx context.Context, r *api.Request) (ident.RoomID, error) {
	room, err := ident.ParseRoomID(r.Param("roomID"))
	if err != nil {
		return "", api.InvalidParam("%v", err)
	}
	in, err := mayAct(ctx, e.rooms, room, r.User)
	if err != nil {
		return "", err
	}
	if !in {
		return "", api.Forbidden("you are not in %s", room)
	}
	return room, nil
}
