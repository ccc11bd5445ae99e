// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"context"
	"slices"
	"sync"
)

// Turns are the turns of one server. All goroutines use them; mu guards them and is held for one step.
type Turns struct {
	mu    sync.Mutex
	free  int
	round []string                   // those who have somebody waiting, the next first
	lines map[string][]chan struct{} // who waits, by party: each is closed when its turn has come
}

// New makes as many turns at one time as given.
func New(atOnce int) *Turns { return &Turns{free: atOnce, lines: make(map[string][]chan struct{})} }

type placeKey struct{}

// place is whose turns work with a context takes.
type place struct {
	turns *Turns
	party string
}

// For has Do take turns of t for the party.
func (t *Turns) For(ctx context.Context, party string) context.Context {
	return context.WithValue(ctx, placeKey{}, place{t, party})
}

// Do waits for a turn of the context's party and works in it. Without a party it works at once: it is for ourselves. When ctx ends
// before the turn comes, nothing is done and the error is that of ctx.
func Do(ctx context.Context, work func()) error {
	p, given := ctx.Value(placeKey{}).(place)
	if !given {
		work()
		return nil
	}
	if err := p.turns.take(ctx, p.party); err != nil {
		return err
	}
	defer p.turns.passOn()
	work()
	return nil
}

func (t *Turns) take(ctx context.Context, party string) error {
	mine := t.join(party)
	if mine == nil {
		return nil
	}
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	if !t.leave(party, mine) {
		t.passOn() // it came just now
	}
	return ctx.Err()
}

// join takes a free turn, or lines up: then it gives what to wait for.
func (t *Turns) join(party string) (mine chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.free > 0 {
		t.free--
		return nil
	}
	mine = make(chan struct{})
	if len(t.lines[party]) == 0 {
		t.round = append(t.round, party)
	}
	t.lines[party] = append(t.lines[party], mine)
	return mine
}

// leave gives up a place in line, if it is still there.
func (t *Turns) leave(party string, mine chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	line := t.lines[party]
	at := slices.Index(line, mine)
	if at < 0 {
		return false
	}
	if t.lines[party] = slices.Delete(line, at, at+1); len(line) == 1 {
		delete(t.lines, party)
		at := slices.Index(t.round, party)
		t.round = slices.Delete(t.round, at, at+1)
	}
	return true
}

// passOn gives a turn to the first of the next party.
func (t *Turns) passOn() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.round) == 0 {
		t.free++
		return
	}
	party := t.round[0]
	t.round = t.round[1:]
	line := t.lines[party]
	close(line[0])
	if len(line) == 1 {
		delete(t.lines, party)
		return
	}
	t.lines[party] = line[1:]
	t.round = append(t.round, party)
}
