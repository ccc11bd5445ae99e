// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"fmt"
	"testing"
	"time"
)

// Shares are evenly spread over servers at one time, and over the times of one server; the same question has the same answer.
func TestJitterSpreads(t *testing.T) {
	const draws, parts = 10_000, 10
	j, begin := NewJitter(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, share := range map[string]func(i int) float64{
		"servers": func(i int) float64 { return j.Share(fmt.Sprintf("s%d.example", i), begin) },
		"times":   func(i int) float64 { return j.Share("a.example", begin.Add(time.Duration(i)*time.Millisecond)) },
	} {
		var counts [parts]int
		for i := range draws {
			if share(i) != share(i) {
				t.Fatalf("%s: asked twice, share %d differs", name, i)
			}
			counts[int(share(i)*parts)]++
		}
		for part, n := range counts {
			if want := draws / parts; n < want*8/10 || n > want*12/10 { // six standard deviations
				t.Errorf("%s: %d of %d shares are in part %d of %d", name, n, draws, part, parts)
			}
		}
	}
}
