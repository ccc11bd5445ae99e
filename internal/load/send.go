// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Send has each origin send up to so many of its transactions, one at a time, and returns when all are answered or the time is over.
// What is not answered well is sent again, the same bytes under the same id, at growing intervals, as any server would. What is on
// its way when the time is over is waited for: the target may have taken it, and then it goes by that which events are the last.
func (f *Fleet) Send(ctx context.Context, transactions int) error {
	group, ctx := errgroup.WithContext(ctx)
	inTime := ctx
	if f.options.Duration > 0 {
		var cancel context.CancelFunc
		inTime, cancel = context.WithTimeoutCause(ctx, f.options.Duration, errTime)
		defer cancel()
	}
	begun := time.Now()
	for _, o := range f.origins {
		group.Go(func() error {
			if err := f.sendOrigin(ctx, inTime, o, transactions, begun); !errors.Is(err, errTime) {
				return err
			}
			return nil
		})
	}
	err := group.Wait()
	f.book.sent(time.Since(begun))
	return err
}

// errTime ends a load that has a duration.
var errTime = errors.New("the time is over")

// sendOrigin sends transactions of one origin and begins none when inTime has ended. At a rate, each has its moment; one that is late is
// sent at once.
func (f *Fleet) sendOrigin(ctx, inTime context.Context, o *origin, transactions int, begun time.Time) error {
	due, sent := begun, 0
	for range transactions {
		if len(o.parcels) == 0 {
			return nil
		}
		if f.options.Rate > 0 {
			due = begun.Add(time.Duration(float64(sent*len(f.origins)) / f.options.Rate * float64(time.Second)))
		}
		if err := pause(inTime, time.Until(due)); err != nil {
			return err
		}
		if err := f.deliver(ctx, inTime, o, o.parcels[0]); err != nil {
			return err
		}
		sent += len(o.parcels[0].events)
		o.parcels = o.parcels[1:]
	}
	return nil
}

// deliver sends one transaction until it is answered well, or inTime has ended.
func (f *Fleet) deliver(ctx, inTime context.Context, o *origin, p parcel) error {
	for wait := retryFirst; ; wait = min(2*wait, retryMax) {
		begun := time.Now()
		answer, err := o.client.Do(ctx, f.options.Target, p.call)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			refused, err := refusals(answer.Body)
			if err != nil {
				return fmt.Errorf("answer to a transaction of %s: %w", o.name, err)
			}
			f.book.answered(p, time.Since(begun), refused)
			return nil
		}
		var failure *transport.Failure
		if !errors.As(err, &failure) {
			return err
		}
		f.book.failed(failure)
		if err := pause(inTime, max(wait, failure.RetryAfter)); err != nil {
			return err
		}
	}
}

// refusals is what the target says is wrong with events (T-04).
func refusals(body []byte) (map[ident.EventID]string, error) {
	root, err := canonicaljson.Parse(body, canonicaljson.Lenient)
	if err != nil {
		return nil, err
	}
	refused := map[ident.EventID]string{}
	for id, result := range root.Get("pdus").Members() {
		if why, ok := result.Get("error").Text(); ok && why != "" {
			refused[ident.EventID(id)] = why
		}
	}
	return refused, nil
}

// pause waits unless ctx ends.
func pause(ctx context.Context, wait time.Duration) error {
	if wait <= 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
