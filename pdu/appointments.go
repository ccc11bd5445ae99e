// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

// chore is something that a room needs at a later time.
type chore int

const (
	look   chore = iota // its staged events are looked at
	merge               // its extremities are merged, see extremities.go
	recall              // some of its history is fetched, see backfill_ahead.go
	chores
)

// atOnceMost is in how many rooms each chore is done at once. A look only wakes the room: turns have their own limit.
var atOnceMost = [chores]int{look: maxTurns, merge: maxMerging, recall: maxRecalling}

// appointment is a chore of a room, of which each room has one of a kind at most.
type appointment struct {
	room  ident.RoomID
	chore chore
}

// wakeAt has the room looked at again at a time.
func (e *Engine) wakeAt(id ident.RoomID, at time.Time) { e.appoint(appointment{id, look}, at) }

// appoint has a chore done at a time; an earlier time that is noted already stays.
func (e *Engine) appoint(a appointment, at time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if before, ok := e.plan.due[a]; ok && before.Before(at) {
		return
	}
	e.plan.due[a] = at
	select {
	case e.plan.changed <- struct{}{}:
	default:
	}
}

// appointOnce has a chore done at a time, unless it is to be done already: times that are drawn again and again would end as the
// earliest of all.
func (e *Engine) appointOnce(a appointment, at time.Time) {
	e.mu.Lock()
	_, planned := e.plan.due[a]
	e.mu.Unlock()
	if !planned {
		e.appoint(a, at)
	}
}

// keepAppointments begins what is due and returns how long it is until the next is.
func (e *Engine) keepAppointments(now time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	wait := idleWait
	for a, at := range e.plan.due {
		switch {
		case at.After(now):
			wait = min(wait, at.Sub(now))
		case e.plan.closed:
			delete(e.plan.due, a)
		case a.chore == look:
			delete(e.plan.due, a)
			e.schedule(a.room).staged = true
		case e.plan.busy[a.chore] >= atOnceMost[a.chore]:
			wait = min(wait, retryFailure)
		default:
			delete(e.plan.due, a)
			e.plan.busy[a.chore]++
			e.running.Go(func() { e.doChore(a) })
		}
	}
	return wait
}

func (e *Engine) doChore(a appointment) {
	switch a.chore {
	case merge:
		e.merge(a.room)
	case recall:
		e.fetchHistory(a.room)
	}
	e.mu.Lock()
	e.plan.busy[a.chore]--
	e.mu.Unlock()
}
