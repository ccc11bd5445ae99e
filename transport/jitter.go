// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"hash/fnv"
	"io"
	"math/rand/v2"
	"time"
)

// Jitter spreads what would otherwise be done by all at one time. A share of it hangs on whom it is for and on when, and on nothing
// that was drawn before: so a simulation repeats, whichever of its goroutines runs first.
type Jitter uint64

// NewJitter is one that nobody can foresee.
func NewJitter() Jitter { return Jitter(rand.Uint64()) }

// Share is from [0, 1).
func (j Jitter) Share(whom string, when time.Time) float64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, whom) // a hash takes everything
	return rand.New(rand.NewPCG(uint64(j)^uint64(when.UnixNano()), h.Sum64())).Float64()
}

// Of is a part of a time, evenly spread.
func (j Jitter) Of(d time.Duration, whom string, when time.Time) time.Duration {
	return time.Duration(j.Share(whom, when) * float64(d))
}
