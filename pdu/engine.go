// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

var (
	// ErrUnknownRoom: no event of the room was ever stored here. Join it first.
	ErrUnknownRoom = errors.New("unknown room")
	// ErrNotJoined: the room is known, but no user of this server is in it. Join it first.
	ErrNotJoined = errors.New("not joined to the room")
	// ErrUnknownEvent: the event is not stored, or nothing but its text is. Ask another server for it.
	ErrUnknownEvent = errors.New("unknown event")
	// ErrClosed: Run has ended. Open a new engine.
	ErrClosed = errors.New("pdu engine closed")
)

// Requester sends a signed request to another server and gives the answer when its status is 2xx.
type Requester interface {
	Do(ctx context.Context, dest ident.ServerName, call transport.Call) (transport.Answer, error)
}

// Outbox queues an event for other servers, durable with the job that it is called in.
type Outbox interface {
	EnqueuePDU(tx *persistence.Tx, room ident.RoomID, id ident.EventID, pdu []byte, dests []ident.ServerName) error
}

// KeySource finds public keys. *keys.Ring is one.
type KeySource interface {
	event.KeySource
	// KeysVia asks the notary too, for servers that cannot be asked themselves. The notary is who handed us what is to be verified.
	KeysVia(ctx context.Context, notary ident.ServerName, queries []keys.Query) map[keys.Query]ed25519.PublicKey
}

// EngineConfig is everything an engine needs. Trace may be nil, and Jitter left out.
type EngineConfig struct {
	Self   ident.ServerName
	Key    signing.Signer // signs the events that are built here
	Store  *persistence.Store
	Keys   KeySource // of the servers whose signatures are checked, this one included
	Client Requester // asks other servers for missing events
	Outbox Outbox
	Trace  trace.Sink
	Jitter transport.Jitter // of what is done later

	HistoryAhead int // so many events of history are fetched unasked after a join, or a gap; 0: none
}

// Engine keeps the rooms. Its methods may be called from any goroutine.
//
// mu guards the schedule and the published snapshots of rooms; it is held for map operations only. Everything else about a
// room belongs to the goroutine that has the room's turn.
type Engine struct {
	self   ident.ServerName
	key    signing.Signer
	store  *persistence.Store
	keys   KeySource
	client Requester
	outbox Outbox
	trace  trace.Sink
	jitter transport.Jitter

	ahead int // events of history that are fetched unasked

	cache     *memory
	recent    recent
	turnstile *turnstile // of other servers' requests
	news      *broadcast
	stop      context.CancelCauseFunc
	stopped   context.Context // done once Run has ended; turns and fetches run under it
	running   sync.WaitGroup  // turns and fetches

	unverified chan struct{} // an event was kept unverified; holds one token
	incomplete chan struct{} // a partial room was adopted; holds one token

	mu    sync.Mutex
	plan  schedule
	rooms *generations[ident.RoomID, *room]
}

// NewEngine makes an engine over a store. Rooms whose join was cut off by the end of the process before are marked as left,
// and traced: the resident may have taken the join, which is not taken back here; joining again mends that.
// Nothing that was staged is worked on before Run.
func NewEngine(cfg EngineConfig) (*Engine, error) {
	if cfg.Store == nil || cfg.Keys == nil || cfg.Client == nil || cfg.Outbox == nil {
		return nil, errors.New("pdu engine: store, keys, client and outbox are all needed")
	}
	ctx, stop := context.WithCancelCause(context.Background())
	e := &Engine{
		self: cfg.Self, key: cfg.Key, store: cfg.Store, keys: cfg.Keys, client: cfg.Client, outbox: cfg.Outbox,
		trace: trace.OrDiscard(cfg.Trace), jitter: cmp.Or(cfg.Jitter, transport.NewJitter()), ahead: min(cfg.HistoryAhead, maxBackfilled),
		cache: newMemory(), turnstile: newTurnstile(), news: newBroadcast(), stop: stop, stopped: ctx,
		plan:       newSchedule(),
		unverified: make(chan struct{}, 1),
		incomplete: make(chan struct{}, 1),
		rooms:      newGenerations[ident.RoomID](roomCacheWeight, func(*room) int { return 1 }),
	}
	var abandoned []ident.RoomID
	err := cfg.Store.Update(ctx, func(tx *persistence.Tx) (err error) {
		abandoned, err = tx.AbandonJoins()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("start pdu engine: %w", err)
	}
	for _, id := range abandoned {
		e.trace.Emit(trace.PDUJoinAbandoned{Room: string(id)})
	}
	return e, nil
}

// Run works off what is staged and looks for missing events until ctx ends; then it waits for the turns under way and every
// later call fails with ErrClosed. It is called once.
func (e *Engine) Run(ctx context.Context) error {
	defer e.running.Wait()
	defer e.shut()
	if err := e.resume(ctx); err != nil {
		return fmt.Errorf("resume staged events: %w", err)
	}
	e.running.Go(e.verifyLater)
	e.running.Go(e.completeRooms)
	for {
		wait := e.keepAppointments(time.Now())
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-e.plan.changed:
			timer.Stop()
		}
	}
}

// resume schedules every room with staged events, with copies of events, or with events that are to be judged again. From before it looks, new ones schedule their room themselves: none is missed.
func (e *Engine) resume(ctx context.Context) error {
	e.mu.Lock()
	e.plan.started = true
	e.mu.Unlock()
	var rooms []ident.RoomID
	err := e.store.View(ctx, func(tx *persistence.Tx) (err error) {
		if rooms, err = tx.StagedRooms(); err != nil {
			return err
		}
		promised, err := tx.RoomsToJudgeAgain()
		if err != nil {
			return err
		}
		copied, err := tx.RoomsWithCopies()
		rooms = slices.Concat(rooms, promised, copied)
		return err
	})
	for _, id := range rooms {
		e.wake(id)
	}
	return err
}
