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
// machine may take the processor from a goroutine in the middle of an instant, so there are a few tries until two are the same; chance
// that no seed fixes never repeats.
func TestRunsRepeat(t *testing.T) {
	if underRace {
		t.Skip("the race detector has goroutines run in random order")
	}
	const seed, tries = 5, 5
	for _, name := range []string{"storm", "crash-send", "refuses", byChance} {
		runs := [][]string{happened(t, name, seed)}
		again := func(run []string) bool {
			return slices.ContainsFunc(runs, func(earlier []string) bool { return slices.Equal(earlier, run) })
		}
		run := happened(t, name, seed)
		for ; len(runs) < tries && !again(run); run = happened(t, name, seed) {
			runs = append(runs, run)
		}
		if !again(run) {
			t.Errorf("%s: seed %d ran differently %d times: %.2000s", name, seed, tries, cmp.Diff(runs[0], run))
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
