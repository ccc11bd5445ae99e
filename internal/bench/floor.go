// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strata-matrix/strata/transport/signing"
)

// spent is what a piece of work took.
type spent struct {
	events    int
	wall, cpu time.Duration
}

func (s *spent) add(more spent) {
	s.events, s.wall, s.cpu = s.events+more.events, s.wall+more.wall, s.cpu+more.cpu
}

// rate is events a second by the clock.
func (s spent) rate() float64 { return float64(s.events) / s.wall.Seconds() }

// each is CPU time per event.
func (s spent) each() time.Duration { return s.cpu / time.Duration(max(1, s.events)) }

var errFloor = errors.New("a signature that this program made is not valid")

// verifyFloor does with each event what no server can do without: a verification by the standard library and two SHA-256, of the
// event and of what is signed, on all cores.
func verifyFloor(events [][]byte, checks []signing.Check) (spent, error) {
	before, err := usage()
	if err != nil {
		return spent{}, err
	}
	begun := time.Now()
	var next atomic.Int64
	var bad atomic.Bool
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(events); i = int(next.Add(1)) - 1 {
				sha256.Sum256(events[i])
				sha256.Sum256(checks[i].Message)
				if !ed25519.Verify(checks[i].Public, checks[i].Message, checks[i].Signature) {
					bad.Store(true)
				}
			}
		})
	}
	workers.Wait()
	wall := time.Since(begun)
	after, err := usage()
	if err == nil && bad.Load() {
		err = errFloor
	}
	return spent{len(events), wall, cpuTime(after) - cpuTime(before)}, err
}
