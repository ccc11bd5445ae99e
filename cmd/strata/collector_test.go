// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"
	"time"
)

// The collector spares memory where it costs little, is relaxed where it costs much, and gives memory back once when a load has ended.
func TestCollector(t *testing.T) {
	c, s, now := collector{percent: relaxedPercent}, spending{}, time.Unix(0, 0)
	ticks := func(n int, rate uint64, collecting, others float64) (given int) {
		for range n {
			now = now.Add(collectorEvery)
			s.allocated += rate
			s.collector += collecting
			s.others += others
			if c.look(now, s) {
				given++
			}
		}
		return given
	}
	want := func(what string, percent, given, gave int) {
		t.Helper()
		if c.percent != percent || gave != given {
			t.Errorf("%s: %d %%, given back %d times; want %d %%, %d", what, c.percent, gave, percent, given)
		}
	}
	want("at the start, with nothing to do", relaxedPercent, 0, ticks(100, 100, 0, 0))
	want("clients, relaxed", sparingPercent, 0, ticks(20, 40<<20, 0.015, 1))
	want("clients, sparing", sparingPercent, 0, ticks(20, 40<<20, 0.05, 1))
	want("other servers, sparing", relaxedPercent, 0, ticks(10, 100<<20, 0.18, 1.2))
	want("other servers, relaxed", relaxedPercent, 0, ticks(100, 100<<20, 0.06, 1.3))
	want("a pause", relaxedPercent, 0, ticks(idleTicks-1, 100, 0, 0))
	want("a longer one", relaxedPercent, 1, ticks(1000, 100, 0, 0))
	want("a little load, and soon", relaxedPercent, 1, ticks(1, 2<<20, 0, 0)+ticks(1000, 100, 0, 0))
	want("again and again", relaxedPercent, 1, ticks(1, 2<<20, 0, 0)+ticks(10, 0, 0, 0)+ticks(1, 2<<20, 0, 0)+ticks(10, 0, 0, 0))
}

// What is read grows, as everything does that is spent.
func TestSpent(t *testing.T) {
	before := spent()
	kept := make([][]byte, 0, 100)
	for range 100 {
		kept = append(kept, make([]byte, 1<<16))
	}
	if after := spent(); after.allocated-before.allocated < 100<<16 || after.collector < before.collector || len(kept) != 100 {
		t.Errorf("%+v, then %+v", before, after)
	}
}
