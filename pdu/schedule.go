// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// errBusy: too many callers wait for the room.
var errBusy = errors.New("too many callers wait for the room")

// schedule says which rooms have work, which of them are being worked on, and which have to be looked at later. Engine.mu
// guards it.
//
//	idle ──work──► ready ──a turn is free──► no work left? ──yes──► idle
//	                 ▲                            │no
//	                 └────────── turn ◄───────────┘
type schedule struct {
	started  bool // Run has begun: staged events may be worked on
	closed   bool
	rooms    map[ident.RoomID]*work // those that are ready or have their turn
	ready    []ident.RoomID         // those that wait for a turn, in order
	turns    int                    // turns under way
	due      map[appointment]time.Time
	searches map[ident.RoomID]bool       // rooms for which missing events are sought: true under way, false in line
	line     []ident.RoomID              // those that wait for a search, in order
	changed  chan struct{}               // due has changed; holds one token
	busy     [chores]int                 // how many rooms have each chore done
	unsigned map[ident.RoomID][]question // what policy servers are to be asked; those rooms are being worked on
}

// work is what a room has to do in its turn.
type work struct {
	tasks  []*task
	staged bool                  // look into the store for staged events
	handed []persistence.Staging // events that were staged since somebody last looked; the store has them too
}

// none says that there is nothing to do.
func (w *work) none() bool { return len(w.tasks) == 0 && !w.staged && len(w.handed) == 0 }

// task is a call that runs in a room's turn.
type task struct {
	ctx   context.Context
	alone bool // it gets a batch of its own, which is thrown away if it fails
	run   func(*batch) error
	err   error // set before done is closed
	done  chan struct{}
}

func newSchedule() schedule {
	return schedule{
		rooms: map[ident.RoomID]*work{}, due: map[appointment]time.Time{}, searches: map[ident.RoomID]bool{},
		changed: make(chan struct{}, 1), unsigned: map[ident.RoomID][]question{},
	}
}

// do runs a task in the room's turn and returns when its outcome is durable. If ctx ends before, the task may or may not have
// been done.
func (e *Engine) do(ctx context.Context, id ident.RoomID, alone bool, run func(*batch) error) error {
	t := &task{ctx: ctx, alone: alone, run: run, done: make(chan struct{})}
	if err := e.submit(id, t); err != nil {
		return err
	}
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (e *Engine) submit(id ident.RoomID, t *task) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.plan.closed {
		return ErrClosed
	}
	if w := e.plan.rooms[id]; w != nil && len(w.tasks) >= maxQueuedTasks {
		return errBusy
	}
	w := e.schedule(id)
	w.tasks = append(w.tasks, t)
	return nil
}

// wake has the room's staged events looked at.
func (e *Engine) wake(id ident.RoomID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.plan.started && !e.plan.closed {
		e.schedule(id).staged = true
	}
}

// handOver has events judged that were just staged, without their being looked for in the store. It is called by the store's goroutine.
func (e *Engine) handOver(id ident.RoomID, staged []persistence.Staging) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.plan.started && !e.plan.closed {
		w := e.schedule(id)
		w.handed = append(w.handed, staged...)
	}
}

// takeHanded takes up to limit of the events that were handed over. Called by the store's goroutine it is exact: what is left, and no
// more, was staged and not looked at.
func (e *Engine) takeHanded(id ident.RoomID, limit int) []persistence.Staging {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.plan.rooms[id]
	n := min(len(w.handed), limit)
	taken := w.handed[:n:n]
	if w.handed = w.handed[n:]; len(w.handed) == 0 {
		w.handed = nil
	}
	return taken
}

// schedule gives the room a turn as soon as there is one. The caller holds mu and adds to the work before it lets go.
func (e *Engine) schedule(id ident.RoomID) *work {
	w := e.plan.rooms[id]
	if w != nil {
		return w
	}
	w = &work{}
	e.plan.rooms[id] = w
	if e.plan.turns >= maxTurns {
		e.plan.ready = append(e.plan.ready, id)
		return w
	}
	e.plan.turns++
	e.running.Add(1)
	go e.takeTurns(id)
	return w
}

// takeIdle takes the turns of those rooms that nobody works on, as far as there are turns, for the caller to work on them itself. It
// does not wait for any: so a caller may have several.
func (e *Engine) takeIdle(ids []ident.RoomID) (taken []ident.RoomID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if !e.plan.started || e.plan.closed || e.plan.turns >= maxTurns || e.plan.rooms[id] != nil {
			continue
		}
		e.plan.rooms[id] = &work{}
		e.plan.turns++
		e.running.Add(1)
		taken = append(taken, id)
	}
	return taken
}

// giveBack ends turns of takeIdle. What the rooms have got to do meanwhile has its place in the line.
func (e *Engine) giveBack(taken []ident.RoomID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range taken {
		if e.plan.rooms[id].none() {
			delete(e.plan.rooms, id)
		} else {
			e.plan.ready = append(e.plan.ready, id)
		}
		if len(e.plan.ready) == 0 {
			e.plan.turns--
			e.running.Done()
			continue
		}
		next := e.plan.ready[0]
		e.plan.ready = e.plan.ready[1:]
		go e.takeTurns(next)
	}
}

// takeTurns works on one room after the other until none is ready. A room that has more to do waits in line for it: busy rooms
// must not keep others waiting.
func (e *Engine) takeTurns(id ident.RoomID) {
	defer e.running.Done()
	for ok := true; ok; id, ok = e.nextReady() {
		due, more := e.takeWork(id)
		if !more {
			continue
		}
		e.turn(id, due)
		e.mu.Lock()
		e.plan.ready = append(e.plan.ready, id)
		e.mu.Unlock()
	}
}

// takeWork takes what the room has to do; more is false, and the turn over, when there is nothing.
func (e *Engine) takeWork(id ident.RoomID) (due work, more bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := e.plan.rooms[id]
	n := min(len(w.tasks), maxTasks)
	due = work{tasks: w.tasks[:n:n], staged: w.staged && !e.plan.closed}
	if !e.plan.closed {
		due.handed = w.handed // to be taken in the turn
	}
	w.tasks, w.staged = w.tasks[n:], false
	if n == 0 && !due.staged && len(due.handed) == 0 {
		delete(e.plan.rooms, id)
		return work{}, false
	}
	return due, true
}

func (e *Engine) nextReady() (ident.RoomID, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.plan.ready) == 0 {
		e.plan.turns--
		return "", false
	}
	id := e.plan.ready[0]
	e.plan.ready = e.plan.ready[1:]
	return id, true
}

// beginSearch says whether a search for missing events of the room may start now. If not, it has its turn after those that wait
// already: rooms in which there is always something to seek must not keep others waiting.
func (e *Engine) beginSearch(id ident.RoomID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, sought := e.plan.searches[id]; sought || e.plan.closed {
		return false
	}
	underWay := len(e.plan.searches) - len(e.plan.line)
	if underWay >= maxSearches {
		e.plan.searches[id] = false
		e.plan.line = append(e.plan.line, id)
		return false
	}
	e.plan.searches[id] = true
	e.running.Add(1)
	return true
}

// endSearch lets the room be searched for again, and the next in line now. After a search that succeeded the room is looked at for
// what comes next.
func (e *Engine) endSearch(id ident.RoomID, succeeded bool) {
	e.mu.Lock()
	delete(e.plan.searches, id)
	if len(e.plan.line) > 0 && !e.plan.closed {
		next := e.plan.line[0]
		e.plan.line = e.plan.line[1:]
		e.plan.searches[next] = true
		e.running.Add(1)
		go e.searchInTurn(next)
	}
	e.mu.Unlock()
	if succeeded {
		e.wake(id)
	}
	e.running.Done()
}

// shut refuses new work and ends what is under way.
func (e *Engine) shut() {
	e.mu.Lock()
	e.plan.closed = true
	e.mu.Unlock()
	e.stop(ErrClosed)
}
