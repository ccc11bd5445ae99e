// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"
	"sync"
	"time"

	"github.com/strata-matrix/strata/persistence"
)

const (
	// maxConvoy is how many turns share one job of the store: some milliseconds' work, for which those wait who read.
	maxConvoy = 128

	// company is how many make up a convoy after which, for the time of a rush, each waits for more, until boarding is over since the one
	// before left. A commit costs as much as the work of some twenty turns: when thousands of servers are sent to at once, they come in
	// time to share it.
	company  = 8
	rush     = 50 * time.Millisecond
	boarding = 5 * time.Millisecond
)

// convoy has the store do at once what many turns want at the same time: those who come while one job is under way share the next.
// An event for ten thousand servers is frozen for most of them together with others, and so are outcomes recorded.
type convoy struct {
	store *persistence.Store

	mu      sync.Mutex
	waiting []passenger
	moving  bool          // a goroutine is at work, and will be on those who wait
	full    chan struct{} // of one: there are enough
}

func newConvoy(store *persistence.Store) *convoy {
	return &convoy{store: store, full: make(chan struct{}, 1)}
}

// errand is what a turn wants of the store. It may be run again when a job fails.
type errand func(tx *persistence.Tx, log *persistence.LogReader) error

type passenger struct {
	errand errand
	done   chan error // of one
}

// run has an errand done, and returns when that is durable. What fails in company is tried alone: nobody has others' errors.
func (c *convoy) run(ctx context.Context, e errand) error {
	p := passenger{e, make(chan error, 1)}
	c.mu.Lock()
	c.waiting = append(c.waiting, p)
	start := !c.moving
	c.moving = true
	if len(c.waiting) == maxConvoy {
		select {
		case c.full <- struct{}{}:
		default:
		}
	}
	c.mu.Unlock()
	if start {
		go c.move()
	}
	if err := <-p.done; err == nil {
		return nil
	}
	return c.store.Update(ctx, func(tx *persistence.Tx) error { return e(tx, tx.ReadLog()) })
}

// move works until nobody waits.
func (c *convoy) move() {
	var rushed time.Time
	for party := c.next(); len(party) > 0; party = c.next() {
		left := time.Now()
		if len(party) >= company {
			rushed = left
		}
		err := c.store.Update(context.Background(), func(tx *persistence.Tx) error {
			log := tx.ReadLog()
			for _, p := range party {
				if err := p.errand(tx, log); err != nil {
					return err
				}
			}
			return nil
		})
		for _, p := range party {
			p.done <- err
		}
		if left.Sub(rushed) < rush {
			c.board(boarding - time.Since(left))
		}
	}
}

// board waits for others, until there are enough.
func (c *convoy) board(atMost time.Duration) {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.full:
	}
}

// next takes those who share the next job; when there are none the convoy stands still.
func (c *convoy) next() []passenger {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := min(len(c.waiting), maxConvoy)
	party := c.waiting[:n:n]
	if c.waiting = c.waiting[n:]; len(c.waiting) == 0 {
		c.waiting = nil
	}
	c.moving = n > 0
	return party
}
