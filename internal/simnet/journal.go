// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"errors"
	"math/rand/v2"
	"sync"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

var errCallback = errors.New("the program could not take the event")

// Callback is one call of a subscription's function.
type Callback struct {
	Life     int // of the server, from 1 on
	Position persistence.Position
	Event    ident.EventID
	Failed   bool // the function returned an error
	Restored bool // the event came before, redacted for its content hash, at a smaller position
}

// Journal is what a server's subscription called back, over all of its lives. mu guards it.
type Journal struct {
	mu    sync.Mutex
	calls []Callback
	fail  float64 // share of callbacks that return an error
	rand  *rand.Rand
}

func (j *Journal) take(life int, d messaging.Delivery) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	failed := j.rand.Float64() < j.fail
	j.calls = append(j.calls, Callback{Life: life, Position: d.Position, Event: d.Event.ID(), Failed: failed, Restored: d.Restored})
	if failed {
		return errCallback
	}
	return nil
}

func (j *Journal) setFail(share float64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail = share
}

func (j *Journal) all() []Callback {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]Callback(nil), j.calls...)
}

// last is the highest position that was taken.
func (j *Journal) last() persistence.Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	var last persistence.Position
	for _, c := range j.calls {
		if !c.Failed {
			last = max(last, c.Position)
		}
	}
	return last
}
