// SPDX-License-Identifier: Apache-2.0

package simnet_test

import (
	"slices"
	"testing"
	"testing/cryptotest"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/internal/simnet"
)

// The same seed makes the same things happen at the same times, crashes, retries and all; in which order at one time is open. A busy
// machine may take the processor from a goroutine in the middle of an instant, so a run has a few tries; chance that no seed fixes
// never repeats.
func TestRunsRepeat(t *testing.T) {
	if underRace {
		t.Skip("the race detector has goroutines run in random order")
	}
	const seed, tries = 5, 5
	for _, name := range []string{"storm", "crash-send", "refuses", byChance} {
		first := happened(t, name, seed)
		var diff string
		for range tries {
			if diff = cmp.Diff(first, happened(t, name, seed)); diff == "" {
				break
			}
		}
		if diff != "" {
			t.Errorf("%s: seed %d ran differently %d times: %.2000s", name, seed, tries, diff)
		}
	}
}

// happened is the sorted timeline of a run.
func happened(t *testing.T, name string, seed simnet.Seed) (lines []string) {
	script := read(t, name, seed)
	t.Run(name, func(t *testing.T) {
		cryptotest.SetGlobalRandom(t, uint64(seed))
		synctest.Test(t, func(t *testing.T) {
			w, err := simnet.NewWorld(seed, script, "10", t.TempDir)
			if err != nil {
				t.Fatal(err)
			}
			w.Run()
			w.Close()
			lines = w.Timeline.Lines()
		})
	})
	slices.Sort(lines)
	return lines
}
