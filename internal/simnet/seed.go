// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"hash/fnv"
	"io"
	"math/rand/v2"
)

// Seed fixes all chance of a run.
type Seed uint64

// Stream is the source of chance for one purpose, named by labels. Streams of different labels know nothing of each other: what
// one link draws does not shift what another gets.
func (s Seed) Stream(labels ...string) *rand.Rand {
	h := fnv.New64a()
	for _, label := range labels {
		_, _ = io.WriteString(h, label+"\x00") // a hash takes everything
	}
	return rand.New(rand.NewPCG(uint64(s), h.Sum64()))
}
