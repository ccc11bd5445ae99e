// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How much a server's memory may grow between two runs of Go's garbage collector, in percent of what is in use, GOGC. What the collector
// costs goes down as that goes up. Clients that do some hundred things a second make it run so seldom that 50 costs a thirtieth more of the
// CPU time than 200, and spares a fourth of the memory; with thousands of events a second of other servers 50 costs a fifth more.
const (
	sparingPercent = 50
	relaxedPercent = 200
)

const (
	// collectorEvery is how often it is looked what the collector costs, and keptOfCosts how much of what was looked at before still counts.
	collectorEvery = time.Second
	keptOfCosts    = 0.75
	// Above dear, as a share of all CPU time, it is relaxed, and below cheap it spares. Between the two what relaxing spares, some
	// threefold, has room: it does not go to and fro.
	dear  = 0.08
	cheap = 0.02
	// idleRate is what a server allocates in a tick, in bytes, that nobody asks for anything. After idleTicks of it what was needed for load is
	// given back to the system, at most every giveEvery: it takes a run of the collector.
	idleRate  = 1 << 20
	idleTicks = 5
	giveEvery = time.Minute
)

// spending is what has been spent since the process began.
type spending struct {
	allocated         uint64  // bytes
	collector, others float64 // seconds of CPU time
}

// collector decides how the garbage collector runs. It belongs to one goroutine.
type collector struct {
	percent int
	last    spending
	lately  spending // CPU time, the older the less it counts
	idle    int      // ticks in a row
	laden   bool     // there was load since memory was last given back
	given   time.Time
}

// look takes what has been spent, a tick after the last time, and sets percent. give says that memory is to be given back.
func (c *collector) look(now time.Time, s spending) (give bool) {
	c.lately.collector = keptOfCosts*c.lately.collector + s.collector - c.last.collector
	c.lately.others = keptOfCosts*c.lately.others + s.others - c.last.others
	allocated := s.allocated - c.last.allocated
	c.last = s
	if all := c.lately.collector + c.lately.others; all > 0 {
		switch share := c.lately.collector / all; {
		case share > dear:
			c.percent = relaxedPercent
		case share < cheap:
			c.percent = sparingPercent
		}
	}
	if allocated >= idleRate {
		c.idle, c.laden = 0, true
		return false
	}
	if c.idle++; c.idle < idleTicks || !c.laden || now.Sub(c.given) < giveEvery {
		return false
	}
	c.laden, c.given = false, now
	return true
}

// spent reads what has been spent. The runtime counts CPU time at each run of the collector.
func spent() spending {
	const allocated, all, idle, mark, collected = "/gc/heap/allocs:bytes", "/cpu/classes/total:cpu-seconds",
		"/cpu/classes/idle:cpu-seconds", "/cpu/classes/gc/mark/idle:cpu-seconds", "/cpu/classes/gc/total:cpu-seconds"
	samples := []metrics.Sample{{Name: allocated}, {Name: all}, {Name: idle}, {Name: mark}, {Name: collected}}
	metrics.Read(samples)
	unused := samples[2].Value.Float64() + samples[3].Value.Float64() // what marks when nothing else is to be done costs nobody
	s := spending{allocated: samples[0].Value.Uint64(), collector: samples[4].Value.Float64() - samples[3].Value.Float64()}
	s.others = samples[1].Value.Float64() - unused - s.collector
	return s
}

// tendCollector has the collector run as the load wants it until ctx ends, unless the environment says how.
func tendCollector(ctx context.Context, env map[string]string) {
	if env["GOGC"] != "" {
		return
	}
	c := collector{percent: relaxedPercent}
	debug.SetGCPercent(c.percent)
	ticks := time.NewTicker(collectorEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticks.C:
			before := c.percent
			give := c.look(now, spent())
			if c.percent != before { // it stops the process for a moment
				debug.SetGCPercent(c.percent)
			}
			if give {
				debug.FreeOSMemory()
			}
		}
	}
}
