// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"
)

const (
	// credit is how much less than the others who wait a party may be taken to have spent, that has spent little: some requests' worth,
	// so that who goes on spending less than its share goes first each time, and who comes back after long does not have it all.
	credit = 10 * time.Millisecond

	// drain is how long it takes until what a party has spent is forgotten, as a multiple of it, should nobody spend more: what is
	// remembered is the parties of a moment.
	drain = 16

	// fewAccounts is how many are kept whether they say anything or not.
	fewAccounts = 64
)

// Turns are the turns of one server. All goroutines use them; mu guards them and is held for one step.
type Turns struct {
	mu        sync.Mutex
	free      int
	accounts  map[string]*account // of whoever waits, works, or has spent more than now lately
	sweepAt   int                 // when there are so many accounts, those that say nothing any more are closed
	waiting   queue               // accounts of those who have somebody waiting
	begun     uint64              // turns that have begun
	now       time.Duration       // what those have spent whose turn it is
	clock     time.Time           // at which all began
	drainedAt time.Duration       // since then
}

// New makes as many turns at one time as given.
func New(atOnce int) *Turns {
	return &Turns{free: atOnce, accounts: map[string]*account{}, sweepAt: fewAccounts, clock: time.Now()}
}

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
	a, err := p.turns.take(ctx, p.party)
	if err != nil {
		return err
	}
	begun := time.Since(p.turns.clock)
	defer p.turns.passOn(a, begun)
	work()
	return nil
}

func (t *Turns) take(ctx context.Context, party string) (*account, error) {
	a, mine := t.join(party)
	if mine == nil {
		return a, nil
	}
	select {
	case <-mine:
		return a, nil
	case <-ctx.Done():
	}
	if !t.leave(a, mine) {
		t.passOn(a, time.Since(t.clock)) // it came just now
	}
	return nil, ctx.Err()
}

// join takes a free turn, or lines up: then it gives what to wait for.
func (t *Turns) join(party string) (a *account, mine chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a = t.accounts[party]
	if a == nil {
		t.sweep()
		a = &account{party: party}
		t.accounts[party] = a
	}
	if a.rests() {
		a.spent = max(a.spent, t.now-credit)
	}
	if t.free > 0 {
		t.free--
		t.begin(a)
		return a, nil
	}
	mine = make(chan struct{})
	if a.line = append(a.line, mine); len(a.line) == 1 {
		heap.Push(&t.waiting, a)
	}
	return a, mine
}

// begin gives a party a turn.
func (t *Turns) begin(a *account) {
	t.begun++
	a.working, a.latest = a.working+1, t.begun
	t.now = max(t.now, a.spent)
}

// leave gives up a place in line, if it is still there.
func (t *Turns) leave(a *account, mine chan struct{}) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := slices.Index(a.line, mine)
	if at < 0 {
		return false
	}
	if a.line = slices.Delete(a.line, at, at+1); len(a.line) == 0 {
		heap.Remove(&t.waiting, a.place)
	}
	return true
}

// passOn ends a turn that began at a time, and gives it to the first in line of who has spent the least.
func (t *Turns) passOn(a *account, begun time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := time.Since(t.clock)
	t.now += (at - t.drainedAt) / drain
	t.drainedAt = at
	a.working--
	a.spent += at - begun
	if len(a.line) > 0 {
		heap.Fix(&t.waiting, a.place)
	}
	if len(t.waiting) == 0 {
		t.free++
		return
	}
	next := t.waiting[0]
	close(next.line[0])
	next.line = next.line[1:]
	t.begin(next)
	if len(next.line) == 0 {
		heap.Pop(&t.waiting)
	} else {
		heap.Fix(&t.waiting, 0)
	}
}

// sweep closes accounts that say nothing any more, when there are many.
func (t *Turns) sweep() {
	if len(t.accounts) < t.sweepAt {
		return
	}
	for party, a := range t.accounts {
		if a.rests() && a.spent <= t.now-credit {
			delete(t.accounts, party)
		}
	}
	t.sweepAt = max(fewAccounts, 2*len(t.accounts))
}
