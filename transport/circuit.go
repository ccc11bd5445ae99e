// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

// Limits of a Circuit. A rest is short: what is asked for is waited for, and another server may have it.
const (
	firstRest   = 2 * time.Second
	longestRest = 5 * time.Minute
	// maxResting is how many servers are remembered: more than are asked within a longestRest.
	maxResting = 10_000
)

// Requester performs requests; *Client is one.
type Requester interface {
	Do(ctx context.Context, dest ident.ServerName, call Call) (Answer, error)
}

// Circuit is a Requester that does not ask servers which did not answer a moment ago, but for one request after each rest. It is
// for asking (events, states), where another server may do as well, and knows nothing of delivering: a server that cannot take
// may give, and the other way round. What it knows is in memory alone; mu guards it.
type Circuit struct {
	to      Requester
	jitter  Jitter
	longest time.Duration // rest

	mu      sync.Mutex
	resting map[ident.ServerName]rest
}

// rest is that of one server.
type rest struct {
	silences int
	until    time.Time
	probing  bool // a request is under way that decides
}

// NewCircuit makes a circuit in front of a requester. Who does not deliver rarely does not ask rarely either: a rest is no longer than
// longest, the longest pause between deliveries, if that is not 0.
func NewCircuit(to Requester, jitter Jitter, longest time.Duration) *Circuit {
	if longest <= 0 || longest > longestRest {
		longest = longestRest
	}
	return &Circuit{to: to, jitter: jitter, longest: longest, resting: map[ident.ServerName]rest{}}
}

// Do implements Requester. The error for a server that rests is a *Failure of ClassResting, at once.
func (c *Circuit) Do(ctx context.Context, dest ident.ServerName, call Call) (Answer, error) {
	if err := c.enter(dest, time.Now()); err != nil {
		return Answer{}, fmt.Errorf("%s %s of %s: %w", call.Method, call.Path, dest, err)
	}
	answer, err := c.to.Do(ctx, dest, call)
	c.leave(dest, err, time.Now())
	return answer, err
}

// Heard tells that a server reached us: it is worth being asked.
func (c *Circuit) Heard(server ident.ServerName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.resting, server)
}

func (c *Circuit) enter(dest ident.ServerName, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, rests := c.resting[dest]
	if !rests {
		return nil
	}
	if r.probing || now.Before(r.until) {
		return &Failure{Class: ClassResting, Err: fmt.Errorf("it did not answer (in a row: %d); it is asked again after %s UTC", r.silences, r.until.UTC().Format(time.TimeOnly))}
	}
	r.probing = true
	c.resting[dest] = r
	return nil
}

func (c *Circuit) leave(dest ident.ServerName, err error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, rests := c.resting[dest]
	r.probing = false
	switch {
	case !silent(err):
		delete(c.resting, dest)
		return
	case canceled(err): // by us: it says nothing
		if rests {
			c.resting[dest] = r
		}
		return
	}
	r.silences++
	wait := c.longest
	if doublings := r.silences - 1; doublings < 8 { // firstRest doubled so often is more
		wait = min(wait, firstRest<<doublings)
	}
	r.until = now.Add(wait - c.jitter.Of(wait/2, string(dest), now))
	if !rests && len(c.resting) >= maxResting {
		for other := range c.resting { // any: the order of a map is chance
			delete(c.resting, other)
			break
		}
	}
	c.resting[dest] = r
}

// silent tells whether a request ended without a word of the server that it was for.
func silent(err error) bool {
	var failure *Failure
	if !errors.As(err, &failure) {
		return err != nil
	}
	switch failure.Class {
	case ClassWellKnown, ClassSRV, ClassDNS, ClassDial, ClassTLS, ClassTimeout, ClassCanceled:
		return failure.Status == 0
	}
	return false
}

func canceled(err error) bool {
	var failure *Failure
	return errors.As(err, &failure) && failure.Class == ClassCanceled || errors.Is(err, context.Canceled)
}
