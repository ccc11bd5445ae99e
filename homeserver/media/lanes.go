// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"sync"

	"github.com/strata-matrix/strata/messaging"
)

// lanes bound what is done at one time: of each party so much, of all together so much, and no more than maxInLine of a party wait. mu
// guards of.
type lanes struct {
	all   chan struct{}
	width int

	mu sync.Mutex
	of map[string]*lane
}

type lane struct {
	free chan struct{}
	in   int // waiting and under way
}

func newLanes(width, all int) *lanes {
	return &lanes{all: make(chan struct{}, all), width: width, of: map[string]*lane{}}
}

// enter waits for its party's turn and then for that of all; then leave is to be called.
func (l *lanes) enter(ctx context.Context, party string) (leave func(), err error) {
	mine := l.join(party)
	if mine == nil {
		return nil, messaging.ErrMediaBusy
	}
	select {
	case mine.free <- struct{}{}:
	case <-ctx.Done():
		l.quit(party)
		return nil, ctx.Err()
	}
	select {
	case l.all <- struct{}{}:
	case <-ctx.Done():
		<-mine.free
		l.quit(party)
		return nil, ctx.Err()
	}
	return func() {
		<-l.all
		<-mine.free
		l.quit(party)
	}, nil
}

func (l *lanes) join(party string) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	mine := l.of[party]
	if mine == nil {
		mine = &lane{free: make(chan struct{}, l.width)}
		l.of[party] = mine
	}
	if mine.in >= l.width+maxInLine {
		return nil
	}
	mine.in++
	return mine
}

func (l *lanes) quit(party string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[party].in--; l.of[party].in == 0 {
		delete(l.of, party)
	}
}

// flights has what several need at the same time done once. mu guards under.
type flights struct {
	mu    sync.Mutex
	under map[string]*flight
}

type flight struct {
	done   chan struct{}
	err    error // like broken, set before done is closed
	broken bool  // whoever ran it went away
}

// do runs f, or waits for who runs it for the same key. When that one was broken off the next one runs it. mine tells whether it was f
// that ran.
func (s *flights) do(ctx context.Context, key string, f func() error) (mine bool, err error) {
	for {
		s.mu.Lock()
		other := s.under[key]
		if other == nil {
			break
		}
		s.mu.Unlock()
		select {
		case <-other.done:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		if !other.broken {
			return false, other.err
		}
	}
	own := &flight{done: make(chan struct{})}
	s.under[key] = own
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.under, key)
		s.mu.Unlock()
		close(own.done)
	}()
	own.err = f()
	own.broken = own.err != nil && ctx.Err() != nil
	return true, own.err
}

// arrivals wakes who waits for an upload. mu guards of.
type arrivals struct {
	mu sync.Mutex
	of map[string]*arrival
}

type arrival struct {
	came    chan struct{}
	waiting int
}

// watch gives what is closed when something has come under an id; then stop is to be called.
func (a *arrivals) watch(id string) (came <-chan struct{}, stop func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := a.of[id]
	if at == nil {
		at = &arrival{came: make(chan struct{})}
		a.of[id] = at
	}
	at.waiting++
	return at.came, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if at.waiting--; at.waiting == 0 && a.of[id] == at {
			delete(a.of, id)
		}
	}
}

func (a *arrivals) announce(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := a.of[id]; at != nil {
		close(at.came)
		delete(a.of, id)
	}
}
