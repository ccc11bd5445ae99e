// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// completeSoon has the list of partial rooms looked at.
func (e *Engine) completeSoon() {
	select {
	case e.incomplete <- struct{}{}:
	default:
	}
}

// completeRooms fetches the whole state of partial rooms, until the engine or its store ends. It never gives a room up: who could
// not be reached today may be tomorrow, and without its members a room cannot be judged right.
func (e *Engine) completeRooms() {
	busy := map[int64]bool{}
	done := make(chan int64)
	for e.stopped.Err() == nil {
		due, wait, err := e.duePartial(busy)
		if errors.Is(err, persistence.ErrClosed) {
			break
		}
		if err != nil && e.stopped.Err() == nil {
			e.trace.Emit(trace.PDURoomFailed{Err: fmt.Errorf("list partial rooms: %w", err)})
			wait = retryFailure
		}
		for _, p := range due {
			busy[p.Room] = true
			go func() { e.complete(p); done <- p.Room }()
		}
		timer := time.NewTimer(wait)
		select {
		case <-e.stopped.Done():
		case <-timer.C:
		case <-e.incomplete:
		case room := <-done:
			delete(busy, room)
		}
		timer.Stop()
	}
	for range busy {
		<-done
	}
}

// duePartial lists the rooms whose turn it is, and says how long it is until the next one's.
func (e *Engine) duePartial(busy map[int64]bool) (due []persistence.PartialRoom, wait time.Duration, err error) {
	free := maxCompletions - len(busy)
	if free <= 0 {
		return nil, idleWait, nil
	}
	var rows []persistence.PartialRoom
	err = e.store.View(e.stopped, func(tx *persistence.Tx) (err error) {
		rows, err = tx.PartialRooms(maxCompletions + 1)
		return err
	})
	now := nowMS()
	wait = idleWait
	for _, p := range rows {
		switch {
		case busy[p.Room]:
		case p.RetryAt > now:
			return due, min(wait, time.Duration(p.RetryAt-now)*time.Millisecond), err
		case len(due) < free:
			due = append(due, p)
		}
	}
	return due, wait, err
}

// complete makes one attempt at a room.
func (e *Engine) complete(p persistence.PartialRoom) {
	begun := time.Now()
	err := e.tryToComplete(e.stopped, p)
	if e.stopped.Err() != nil || errors.Is(err, persistence.ErrClosed) {
		return
	}
	note := ""
	if err != nil {
		note = err.Error()
		attempts := p.Attempts + 1
		retry := e.store.Update(e.stopped, func(tx *persistence.Tx) error {
			return tx.RetryPartial(p.Room, attempts, time.Now().Add(retryAfter(attempts)).UnixMilli(), note)
		})
		if retry != nil { // or it would be due at once
			note += "; " + retry.Error()
			e.pause(retryFailure)
		}
	}
	e.trace.Emit(trace.PDUCompleted{Room: string(p.ID), Attempts: p.Attempts + 1, Problem: note, Duration: time.Since(begun)})
}

// pause waits a while, or until the engine ends.
func (e *Engine) pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-e.stopped.Done():
	case <-timer.C:
	}
}

func (e *Engine) tryToComplete(ctx context.Context, p persistence.PartialRoom) error {
	head, err := e.knownRoom(ctx, p.ID)
	if err != nil {
		return err
	}
	given, err := e.fetchWhole(ctx, head, p)
	if err != nil {
		return err
	}
	if given.unkeyed > 0 && p.Attempts < keyAttempts {
		return fmt.Errorf("%d events of the state are signed with keys that are not to be had", given.unkeyed)
	}
	given.history = true
	return e.do(ctx, p.ID, true, func(b *batch) error { return b.complete(given, p.Join) })
}

// fetchWhole fetches the state before the join. As for all that comes with a join, the server that let us in is asked for keys that
// their owners do not give.
func (e *Engine) fetchWhole(ctx context.Context, head *room, p persistence.PartialRoom) (*givenState, error) {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	q := e.inquire(head, spending{maxStateRequests, maxStateBytes})
	q.notary = p.Via
	return q.fetchState(ctx, p.Join, e.completers(head, p))
}

// completers is whom to ask: the server that let us in, which knows our join, and then the others, at each attempt from another
// one on.
func (e *Engine) completers(head *room, p persistence.PartialRoom) []ident.ServerName {
	others := serversOf(head, e.self)
	delete(others, p.Via)
	list := slices.Sorted(maps.Keys(others))
	if n := len(list); n > 0 {
		from := p.Attempts * (maxStateServers - 1) % n
		list = slices.Concat(list[from:], list[:from])
	}
	if p.Attempts%2 == 0 || len(list) == 0 { // every other time without it: it may be what is wrong
		list = slices.Insert(list, 0, p.Via)
	}
	return list
}

// complete puts the whole state in the place of the partial one, and judges everything since the join again.
func (b *batch) complete(g *givenState, join ident.EventID) error {
	p := b.head.partial
	if p == nil || p.join != join || b.head.membership != Joined {
		return nil // it was left, or joined anew, meanwhile
	}
	root, err := b.adoptGiven(g)
	if err != nil {
		return err
	}
	r, err := b.stored(join)
	if err != nil {
		return err
	}
	b.head.partial = nil
	if result, err := b.checkAt(r.event, root); err != nil || !result.OK {
		return errors.Join(err, refusalOf(result))
	}
	if err := b.judgeAllSince(r, root, p.first); err != nil {
		return err
	}
	b.recount()
	return nil
}
