// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"math/rand/v2"
	"time"
)

// Faults is what the network does to requests. Shares are from 0 to 1.
type Faults struct {
	Least, Most time.Duration // latency each way, evenly spread: later requests overtake earlier ones
	Late        float64       // share of messages that take up to maxLate longer
	Lose        float64       // share of requests that never arrive
	Unanswered  float64       // share of requests that are worked on, but the reply never arrives
	Twice       float64       // share of requests that arrive a second time
	Replay      float64       // share of requests that somebody on the way keeps, and sends again and again for a while
}

// Calm is a network without faults.
var Calm = Faults{Least: 5 * time.Millisecond, Most: 20 * time.Millisecond}

// maxLate is above the time that a transaction's attempt has: a late request arrives after its sender gave up.
const maxLate = 45 * time.Second

// Of a request that is replayed, so many copies arrive within maxReplay, in the midst of what is sent later, and whoever the receiver
// is by then: it may have crashed and started anew.
const (
	replays   = 3
	maxReplay = 3 * time.Minute
)

// Fate is what becomes of one request.
type Fate struct {
	There, Back time.Duration
	Lost        bool // the request
	Unanswered  bool
	Silent      bool          // whoever waits for what was lost is not told: the connection hangs
	Again       time.Duration // how long after the first the second copy arrives, 0 for none
}

// Draw decides the fate of the next request of a stream. It always draws the same number of times, so that a change of the
// faults does not shift the chance of later requests.
func (f Faults) Draw(r *rand.Rand) Fate {
	fate := Fate{There: f.latency(r), Back: f.latency(r)}
	fate.Lost = r.Float64() < f.Lose
	fate.Unanswered = r.Float64() < f.Unanswered
	fate.Silent = r.Float64() < 0.5
	twice, again := r.Float64() < f.Twice, 1+f.latency(r)
	if twice {
		fate.Again = again
	}
	return fate
}

// Replays decides when copies of the next request of a stream arrive after it, none for most. The stream is another than that of Draw.
func (f Faults) Replays(r *rand.Rand) (after []time.Duration) {
	if r.Float64() >= f.Replay {
		return nil
	}
	for range replays {
		after = append(after, time.Duration(r.Float64()*float64(maxReplay)))
	}
	return after
}

func (f Faults) latency(r *rand.Rand) time.Duration {
	wait := f.Least + time.Duration(r.Float64()*float64(f.Most-f.Least))
	late, longer := r.Float64() < f.Late, time.Duration(r.Float64()*float64(maxLate))
	if late {
		wait += longer
	}
	return wait
}
