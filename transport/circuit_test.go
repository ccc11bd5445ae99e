// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

// oracle is a Requester of which each server answers as it is told.
type oracle struct {
	asked atomic.Int64
	err   error
	takes time.Duration
}

func (o *oracle) Do(ctx context.Context, _ ident.ServerName, _ Call) (Answer, error) {
	o.asked.Add(1)
	if o.takes > 0 { // the race detector does not survive many timers of a bubble that are due already
		select {
		case <-time.After(o.takes):
		case <-ctx.Done():
			return Answer{}, &Failure{Class: ClassCanceled, Err: ctx.Err()}
		}
	}
	return Answer{Status: 200}, o.err
}

// A server that does not answer is asked less and less, one request at a time, and at once when it reached us.
func TestCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{err: &Failure{Class: ClassTimeout}}
		c := NewCircuit(o, NewJitter(), 0)
		ask := func() Class {
			_, err := c.Do(t.Context(), "a.example", Call{})
			var failure *Failure
			if !errors.As(err, &failure) {
				return ""
			}
			return failure.Class
		}
		if got := ask(); got != ClassTimeout {
			t.Fatalf("first: %q", got)
		}
		if got := ask(); got != ClassResting || o.asked.Load() != 1 {
			t.Errorf("second: %q, asked %d times", got, o.asked.Load())
		}
		end := time.Now().Add(24 * time.Hour)
		for time.Now().Before(end) {
			ask()
			time.Sleep(time.Second)
		}
		// At the longest rest, 2.5 to 5 minutes, between 288 and 576 times a day, and a few more in the beginning.
		if n := o.asked.Load(); n < 280 || n > 600 {
			t.Errorf("asked %d times in a day", n)
		}
		c.Heard("a.example")
		o.err = nil
		if got := ask(); got != "" {
			t.Errorf("after it reached us: %q", got)
		}
		if got := ask(); got != "" {
			t.Errorf("after it answered: %q", got)
		}
	})
}

// After a rest one request decides; the others do not wait for it.
func TestCircuitProbesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{err: &Failure{Class: ClassDial}, takes: time.Second}
		c := NewCircuit(o, NewJitter(), 0)
		_, _ = c.Do(t.Context(), "a.example", Call{})
		time.Sleep(firstRest)
		o.err = nil
		var answered, rested atomic.Int64
		for range 10 {
			go func() {
				if _, err := c.Do(t.Context(), "a.example", Call{}); err == nil {
					answered.Add(1)
				} else {
					rested.Add(1)
				}
			}()
		}
		time.Sleep(2 * time.Second)
		if answered.Load() != 1 || rested.Load() != 9 || o.asked.Load() != 2 {
			t.Errorf("%d answered, %d rested, %d asked", answered.Load(), rested.Load(), o.asked.Load())
		}
	})
}

// Where deliveries are tried again often, so is asking.
func TestCircuitRestsNoLongerThanDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{err: &Failure{Class: ClassDial}}
		c := NewCircuit(o, NewJitter(), 100*time.Millisecond)
		for range 20 {
			_, _ = c.Do(t.Context(), "a.example", Call{})
			time.Sleep(100 * time.Millisecond)
		}
		if n := o.asked.Load(); n != 20 {
			t.Errorf("asked %d times of 20", n)
		}
	})
}

// Whoever answers is there, whatever the answer; and a caller who gives up says nothing of the server.
func TestCircuitKnowsSilence(t *testing.T) {
	for _, tt := range []struct {
		err  error
		rest bool
	}{
		{nil, false},
		{&Failure{Class: Class4xxContent, Status: 404}, false},
		{&Failure{Class: Class5xx, Status: 500}, false},
		{&Failure{Class: Class429, Status: 429}, false},
		{&Failure{Class: ClassPolicy}, false},
		{&Failure{Class: ClassCanceled}, false},
		{&Failure{Class: ClassDNS}, true},
		{&Failure{Class: ClassTLS}, true},
		{&Failure{Class: ClassWellKnown}, true},
	} {
		o := &oracle{err: tt.err}
		c := NewCircuit(o, NewJitter(), 0)
		_, _ = c.Do(t.Context(), "a.example", Call{})
		_, _ = c.Do(t.Context(), "a.example", Call{})
		if rested := o.asked.Load() == 1; rested != tt.rest {
			t.Errorf("after %v: rests: %t, want %t", tt.err, rested, tt.rest)
		}
	}
}

func TestCircuitIsBounded(t *testing.T) {
	c := NewCircuit(&oracle{err: &Failure{Class: ClassDNS}}, NewJitter(), 0)
	for n := range maxResting + 100 {
		_, _ = c.Do(t.Context(), ident.ServerName(fmt.Sprint(n, ".example")), Call{})
	}
	if n := len(c.resting); n != maxResting {
		t.Errorf("%d servers remembered, want %d", n, maxResting)
	}
}
