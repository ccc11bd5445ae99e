// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"sort"
	"sync"

	"github.com/strata-matrix/strata/persistence"
)

// ringSize is how many changes are at hand: at 64 k they take some megabytes (sync.md, section 6.1).
const ringSize = 64 << 10

// Ring is the last changes, in order and without the events themselves. mu guards all of it: the feed adds, anyone reads.
type Ring struct {
	mu      sync.RWMutex
	changes []Change             // a ring once it is full
	first   int                  // where the oldest is
	after   persistence.Position // everything after it is here
	through persistence.Position
	started bool
}

func newRing() *Ring { return &Ring{} }

func (r *Ring) add(batch Batch) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started {
		r.started, r.after = true, batch.After
	}
	for _, c := range batch.Changes {
		c.Placed = nil
		if len(r.changes) < ringSize {
			r.changes = append(r.changes, c)
			continue
		}
		r.after = r.changes[r.first].Position
		r.changes[r.first] = c
		r.first = (r.first + 1) % ringSize
	}
	r.through = batch.Through
}

// Between gives the changes after a position and through another, in order; false when they are not all here.
func (r *Ring) Between(after, through persistence.Position) ([]Change, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.started || after < r.after || through > r.through {
		return nil, false
	}
	n := len(r.changes)
	at := func(i int) Change { return r.changes[(r.first+i)%n] }
	start := sort.Search(n, func(i int) bool { return at(i).Position > after })
	end := sort.Search(n, func(i int) bool { return at(i).Position > through })
	list := make([]Change, 0, end-start)
	for i := start; i < end; i++ {
		list = append(list, at(i))
	}
	return list, true
}

// Reach is the position after which everything is here.
func (r *Ring) Reach() persistence.Position {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.after
}
