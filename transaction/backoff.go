// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"math"
	"time"
)

// RetryPolicy says when a destination that failed is tried again (T-15).
type RetryPolicy struct {
	First  time.Duration // wait after the first failure
	Max    time.Duration // longest wait
	Factor float64       // growth from one failure to the next
	Jitter float64       // 0 to 1: the share of the wait that is drawn by chance, evenly, so that those that failed together do not wake together

	// Contact is the shortest time between a failure and a try that was brought forward because the destination was heard
	// from. The streak of failures is not forgotten by it, and a wait that the destination asked for is not cut short.
	Contact time.Duration

	// AttemptTimeout ends an attempt that has had no answer.
	AttemptTimeout time.Duration

	// Concurrent is how many destinations are sent to at the same time. A quarter of the places, one at least, is for those
	// that are failing, and they get no other; the rest, one at least, is for all others. Commits are shared: with 512 an event for
	// 10,000 servers costs a sixth less CPU than with 256, and with that a fifth less than with 64.
	Concurrent int
}

// evenly is the jitter with which a wait that doubles lies anywhere between the one before it and its longest.
const evenly = 0.5

// DefaultRetryPolicy waits 15 seconds at first and a day at most.
func DefaultRetryPolicy() RetryPolicy {
	return RetryPolicy{
		First: 15 * time.Second, Max: 24 * time.Hour, Factor: 2, Jitter: evenly, Contact: 15 * time.Second,
		AttemptTimeout: time.Minute, Concurrent: 512,
	}
}

// orDefault fills in what a configuration left out. Without jitter is a choice unless all is left out.
func (p RetryPolicy) orDefault() RetryPolicy {
	d := DefaultRetryPolicy()
	if p == (RetryPolicy{}) {
		return d
	}
	p.First = positive(p.First, d.First)
	p.Max = max(p.First, positive(p.Max, d.Max))
	p.Contact = positive(p.Contact, d.Contact)
	p.AttemptTimeout = positive(p.AttemptTimeout, d.AttemptTimeout)
	p.Concurrent = positive(p.Concurrent, d.Concurrent)
	if p.Factor < 1 {
		p.Factor = d.Factor
	}
	p.Jitter = max(0, min(p.Jitter, 1))
	return p
}

func positive[N int | time.Duration](n, otherwise N) N {
	if n > 0 {
		return n
	}
	return otherwise
}

// failure is what a wait depends on.
type failure struct {
	streak int           // failures in a row, at least 1
	gone   bool          // the server looks gone for good (transport.Failure.Gone)
	asked  time.Duration // what the peer asked for (Retry-After), 0 if it did not
}

// wait is how long to wait after a failure. A server that looks gone ages at twice the pace; what the peer asked for is honoured up
// to Max. random is from [0, 1).
func (p RetryPolicy) wait(f failure, random float64) time.Duration {
	steps := f.streak - 1
	if f.gone {
		steps *= 2
	}
	grown := float64(p.First) * math.Pow(p.Factor, float64(steps))
	wait := p.Max
	if grown < float64(p.Max) {
		wait = time.Duration(grown)
	}
	wait -= time.Duration(float64(wait) * p.Jitter * random)
	return max(wait, min(f.asked, p.Max))
}
