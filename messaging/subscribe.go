// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
)

// Delivery is an accepted event with its room and its place in the one sequence of this server. An event that comes again has the
// same position. There is one exception: the content hash of an event may be wrong in the copy that came first, so that only what redaction
// leaves is delivered (Mismatch). When a copy comes whose hash is good, the event is delivered once more at a new position (Restored).
type Delivery = pdu.Delivery

// Subscribe calls deliver with each accepted event of every room, one at a time, in the order of their positions, from where the
// subscription of that name stood: a new name starts with the first event of the file. It returns when ctx ends, with nil, or when
// the server does.
//
// Each event is delivered at least once. The subscription's place is made durable once a second, and at the end: after a crash, or when
// deliver returned an error, some come again. When deliver returns an error it gets the same event again after a pause that
// grows from 1 second to 1 minute.
//
// Accepted means: valid, authorised and by the current state of the room not out of place. Rejected and soft-failed events are
// not delivered, redactions only when they take effect, and no history: of a room that is joined over another server the first event delivered is the join itself. The
// state that came with it can be read with Engine. Where events are missing that nobody gives any more, those by which a user of ours was
// invited or removed are delivered all the same.
func (s *Server) Subscribe(ctx context.Context, name string, deliver func(context.Context, Delivery) error) error {
	if name == "" || len(name) > maxSubscriptionName || strings.HasPrefix(name, ownSubscriptions) {
		return fmt.Errorf("subscribe: a name of 1 to %d bytes is needed that does not begin with %s", maxSubscriptionName, ownSubscriptions)
	}
	return s.subscribe(ctx, name, deliver)
}

func (s *Server) subscribe(ctx context.Context, name string, deliver func(context.Context, Delivery) error) error {
	err := s.call(ctx, func(inside context.Context) error {
		if !s.claimSubscription(name) {
			return ErrSubscribed
		}
		defer s.releaseSubscription(name)
		reader := &subscription{server: s, name: name, deliver: deliver}
		if err := reader.run(inside); ctx.Err() == nil {
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("subscription %s: %w", name, err)
	}
	return nil
}

func (s *Server) claimSubscription(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subscribed[name] {
		return false
	}
	s.subscribed[name] = true
	return true
}

func (s *Server) releaseSubscription(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.subscribed, name)
}

// subscription is one running reader of the sequence, on the goroutine that called Subscribe.
type subscription struct {
	server  *Server
	name    string
	deliver func(context.Context, Delivery) error

	at      persistence.Position // everything up to it is done with
	saved   persistence.Position // the durable part of that
	savedAt time.Time
}

// run ends with an error only: that of ctx, or of the store.
func (r *subscription) run(ctx context.Context) error {
	err := r.server.store.View(ctx, func(tx *persistence.Tx) (err error) {
		r.at, err = tx.Cursor(r.name)
		return err
	})
	if err != nil {
		return err
	}
	r.saved, r.savedAt = r.at, time.Now()
	err = r.follow(ctx)
	return errors.Join(err, r.save(context.WithoutCancel(ctx)))
}

// follow delivers what there is and what comes.
func (r *subscription) follow(ctx context.Context) error {
	for {
		news := r.server.engine.News() // before reading: what comes after the read closes it
		batch, err := r.server.engine.Since(ctx, r.at, subscriptionBatch)
		if err != nil {
			return err
		}
		if err := r.deliverAll(ctx, batch); err != nil {
			return err
		}
		if len(batch) > 0 {
			continue
		}
		if err := r.rest(ctx, news); err != nil {
			return err
		}
	}
}

// rest waits for news. It makes the cursor durable when that is due: with each commit of events there would be one more of it.
func (r *subscription) rest(ctx context.Context, news <-chan struct{}) error {
	var due <-chan time.Time
	if r.at != r.saved {
		timer := time.NewTimer(time.Until(r.savedAt.Add(saveCursorEvery)))
		defer timer.Stop()
		due = timer.C
	}
	select {
	case <-news:
		return nil
	case <-due:
		return r.save(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deliverAll delivers a batch, and makes the cursor durable on the way when that is due.
func (r *subscription) deliverAll(ctx context.Context, batch []Delivery) error {
	for _, d := range batch {
		if err := r.deliverOne(ctx, d); err != nil {
			return err
		}
		r.at = d.Position
		if err := ctx.Err(); err != nil {
			return err
		}
		if time.Since(r.savedAt) < saveCursorEvery {
			continue
		}
		if err := r.save(ctx); err != nil {
			return err
		}
	}
	return nil
}

// deliverOne calls back until the callback is content. It returns an error only when ctx ends before.
func (r *subscription) deliverOne(ctx context.Context, d Delivery) error {
	wait := callbackRetryFirst
	for {
		err := r.deliver(ctx, d)
		if err == nil {
			return nil
		}
		if saveErr := r.save(context.WithoutCancel(ctx)); saveErr != nil { // what came before is done with, however long this takes
			return saveErr
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		r.server.trace.Emit(trace.MessagingCallbackFailed{
			Subscription: r.name, Position: int64(d.Position), Error: err.Error(), Wait: wait,
		})
		if err := pause(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, callbackRetryMax)
	}
}

// pause waits unless ctx ends.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// save makes the cursor durable.
func (r *subscription) save(ctx context.Context) error {
	if r.at == r.saved {
		return nil
	}
	err := r.server.store.Update(ctx, func(tx *persistence.Tx) error { return tx.MoveCursor(r.name, r.at) })
	if err != nil {
		return fmt.Errorf("move cursor: %w", err)
	}
	r.saved, r.savedAt = r.at, time.Now()
	return nil
}
