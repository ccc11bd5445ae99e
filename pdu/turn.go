// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// turn does a room's work: first what callers wait for, then the staged events. Each part is one batch and one commit.
func (e *Engine) turn(id ident.RoomID, due work) {
	for len(due.tasks) > 0 {
		n := 1
		for !due.tasks[0].alone && n < len(due.tasks) && !due.tasks[n].alone {
			n++
		}
		e.runTasks(id, due.tasks[:n])
		due.tasks = due.tasks[n:]
	}
	if !due.staged && len(due.handed) == 0 {
		return
	}
	if err := e.workStaged(id, due.staged); err != nil && e.stopped.Err() == nil && !errors.Is(err, persistence.ErrClosed) {
		e.trace.Emit(trace.PDURoomFailed{Room: string(id), Err: err})
		e.wakeAt(id, time.Now().Add(retryFailure))
	}
}

// runTasks runs tasks on one batch. A task that fails has added nothing to it, unless it is alone.
func (e *Engine) runTasks(id ident.RoomID, tasks []*task) {
	b, err := e.newBatch(e.stopped, id)
	var done []*task
	for _, t := range tasks {
		if t.err = err; t.err == nil {
			t.err = context.Cause(t.ctx)
		}
		if t.err == nil {
			t.err = t.run(b)
		}
		if t.err != nil {
			close(t.done)
			continue
		}
		done = append(done, t)
	}
	if len(done) == 0 {
		return
	}
	err = b.commit()
	for _, t := range done {
		t.err = err
		close(t.done)
	}
}

// workStaged judges some of the staged events, and comes back for the others; when none is ready it has missing ones sought. With
// look the store is asked what there is; without it these are the events that were handed over, and nothing else is due.
func (e *Engine) workStaged(id ident.RoomID, look bool) error {
	b, err := e.newBatch(e.stopped, id)
	if err != nil {
		return err
	}
	if b.head.nid != 0 && b.head.membership == Left {
		e.takeHanded(id, maxStaged)
		return b.forgetAfterLeaving()
	}
	if b.head.nid == 0 || b.head.membership != Joined {
		e.takeHanded(id, maxStaged)
		return nil // they wait for the end of the join
	}
	if look {
		for _, ahead := range []func(*batch) (bool, error){(*batch).takeCopies, (*batch).keepPromises} {
			if done, err := ahead(b); err != nil {
				return err
			} else if done {
				e.wake(id)
				return nil
			}
		}
	}
	staged, waiting, err := b.readyEvents(look)
	if err != nil {
		return err
	}
	if len(staged) == 0 {
		return e.seekLater(b.head)
	}
	if err := b.judgeTogether(staged, waiting); err != nil {
		e.wake(id) // whatever was handed over is looked for from now on
		return e.judgeSingly(id, staged, err)
	}
	switch {
	case look && len(staged) == maxJudged || !look && len(b.waits)+len(b.unsigned) > 0:
		e.wake(id) // callers come first
	case look: // that was all; what has been staged since is handed over
		return e.seekLater(b.head)
	}
	return nil
}

func (b *batch) judgeTogether(staged []persistence.Staging, waiting bool) error {
	if err := b.judgeAll(staged, waiting); err != nil {
		return err
	}
	return b.commit()
}

// judgeAll judges events, and if there are any that wait, those that waited for them.
func (b *batch) judgeAll(staged []persistence.Staging, waiting bool) error {
	if err := b.judgeStaged(staged); err != nil || !waiting {
		return err
	}
	return b.judgeWaiting()
}

// judgeSingly judges events that could not be judged together, each for itself: one that cannot be judged, for instance because
// what is stored contradicts itself, must not be in the way of the others. It rests, and is tried again at growing intervals.
// A store that fails fails for all of them.
func (e *Engine) judgeSingly(id ident.RoomID, staged []persistence.Staging, cause error) error {
	if e.stopped.Err() != nil || !ofOneEvent(cause) {
		return cause
	}
	for _, s := range staged {
		b, err := e.newBatch(e.stopped, id)
		if err != nil {
			return err
		}
		if b.head.membership != Joined {
			return nil
		}
		if err = b.judgeTogether([]persistence.Staging{s}, false); err == nil {
			continue
		}
		if e.stopped.Err() != nil || !ofOneEvent(err) {
			return err
		}
		e.trace.Emit(trace.PDURoomFailed{Room: string(id), Err: err})
		attempts := s.Attempts + 1
		err = e.store.Update(e.stopped, func(tx *persistence.Tx) error {
			return tx.Retry(s.Event, attempts, time.Now().Add(retryAfter(attempts)).UnixMilli(), err.Error())
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// ofOneEvent says whether a failure may be that of one event, and not that of the store.
func ofOneEvent(err error) bool {
	for _, ofStore := range []error{
		persistence.ErrClosed, persistence.ErrFull, persistence.ErrIO, persistence.ErrReadOnly, persistence.ErrInUse,
	} {
		if errors.Is(err, ofStore) {
			return false
		}
	}
	return true
}

// readyEvents lists staged events that wait for nothing; waiting says that there are others. What was handed over is among what the
// store has.
func (b *batch) readyEvents(look bool) (staged []persistence.Staging, waiting bool, err error) {
	err = b.e.store.View(b.ctx, func(tx *persistence.Tx) (err error) {
		if look {
			b.e.takeHanded(b.id, maxStaged)
			staged, err = tx.ReadyEvents(b.head.nid, b.now.UnixMilli(), maxJudged)
		} else {
			staged = b.e.takeHanded(b.id, maxJudged)
		}
		if err != nil || len(staged) == 0 {
			return err
		}
		_, waiting, err = tx.NextRetry(b.head.nid)
		return err
	})
	if err != nil {
		return nil, false, fmt.Errorf("list staged events: %w", err)
	}
	return staged, waiting, nil
}

// judgeWaiting judges the quarantined events for which the last missing one has been judged in this batch, and those that wait
// for them in turn: a gap is closed in one commit, so that what only leads to its end is never seen as an extremity.
func (b *batch) judgeWaiting() error {
	for next := 0; next < len(b.order) && len(b.order) < maxClosed; {
		var judged []ident.EventID
		for _, r := range b.order[next:] {
			if r.known() {
				judged = append(judged, r.event.ID())
			}
		}
		next = len(b.order)
		candidates, err := b.waitersOf(judged...)
		if err != nil {
			return err
		}
		var free []persistence.Staging
		for _, s := range candidates {
			r, err := b.stored(s.ID)
			if err != nil {
				return err
			}
			missing, _, err := b.missing(r, Arrival(s.Arrival) == arrivedAsAuthEvent)
			if err != nil {
				return err
			}
			if len(missing) == 0 {
				free = append(free, s)
			}
		}
		if err := b.judgeStaged(free); err != nil {
			return err
		}
	}
	return nil
}

// waitersOf lists the quarantined events that wait for one of the given ones, each once, but those that this batch has judged.
func (b *batch) waitersOf(ids ...ident.EventID) (list []persistence.Staging, err error) {
	err = b.e.store.View(b.ctx, func(tx *persistence.Tx) error {
		seen := map[ident.EventID]bool{}
		for _, id := range ids {
			waiters, err := tx.WaitersOf(id)
			if err != nil {
				return err
			}
			for _, s := range waiters {
				if own := b.fresh[s.ID]; !seen[s.ID] && (own == nil || !own.inGraph) {
					seen[s.ID] = true
					list = append(list, s)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list quarantined events: %w", err)
	}
	return list, nil
}

// judgeStaged judges events so that each comes after those that it references.
func (b *batch) judgeStaged(staged []persistence.Staging) error {
	ids := make([]ident.EventID, len(staged))
	due := make(map[ident.EventID]persistence.Staging, len(staged))
	for i, s := range staged {
		ids[i], due[s.ID] = s.ID, s
	}
	if err := b.load(ids); err != nil {
		return err
	}
	if err := b.loadGaps(ids); err != nil {
		return err
	}
	var references []ident.EventID
	for _, id := range ids {
		r, err := b.stored(id)
		if err != nil {
			return err
		}
		references = append(append(references, r.event.PrevEvents()...), r.event.AuthEvents()...)
	}
	if err := b.load(references); err != nil {
		return err
	}
	for _, id := range ids {
		if err := b.judgeAfterReferences(id, due); err != nil {
			return err
		}
	}
	return nil
}

// judgeAfterReferences judges one event of due, those of its references that are in due before it. It recurs at most once
// for each event in due.
func (b *batch) judgeAfterReferences(id ident.EventID, due map[ident.EventID]persistence.Staging) error {
	s, ok := due[id]
	if !ok {
		return nil
	}
	delete(due, id)
	r, err := b.stored(id)
	if err != nil {
		return err
	}
	for _, references := range [][]ident.EventID{r.event.AuthEvents(), r.event.PrevEvents()} {
		for _, reference := range references {
			if err := b.judgeAfterReferences(reference, due); err != nil {
				return err
			}
		}
	}
	if err := b.receive(r, s); err != nil {
		return fmt.Errorf("judge %s: %w", id, err)
	}
	return nil
}
