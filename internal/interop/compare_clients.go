// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// work is one thing that a server does for a client, done again and again.
type work struct {
	clock []time.Duration // of each, as the client sees it
	cpu   time.Duration   // of the server's process, for all together
}

// clientRound is one turn of one server.
type clientRound struct {
	initial work // a first /sync
	empty   work // an incremental one with nothing to say
	one     work // an incremental one after one message, CPU with the sending
	receipt work // from PUT /send to the arrival in a long poll, CPU with the sending
	bytes   int  // of the first sync's body
}

// clientContestant is one server with all of its turns.
type clientContestant struct {
	name   string
	rounds []clientRound
	memory struct{ started, filled, ended, own, peak int64 } // bytes that were resident; own: at the end, of no file
	left   error                                             // why it was left out, nil if it was not
}

// quantile is the smallest sample that at least the share q of all do not exceed (the nearest rank).
func quantile(samples []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[max(1, int(math.Ceil(q*float64(len(sorted)))))-1]
}

// clientFigure is one figure of all rounds together, and of the rounds the lowest and the highest.
type clientFigure struct{ value, low, high float64 }

// ofRounds takes a figure of all rounds together and of each.
func (c clientContestant) ofRounds(figure func([]clientRound) float64) clientFigure {
	var each []float64
	for i := range c.rounds {
		each = append(each, figure(c.rounds[i:i+1]))
	}
	return clientFigure{figure(c.rounds), slices.Min(each), slices.Max(each)}
}

// always is a figure that there is one of.
func always(value int64) clientFigure {
	return clientFigure{float64(value), float64(value), float64(value)}
}

// clockOf is a quantile of a work's times, in ms.
func clockOf(of func(clientRound) work, q float64) func(clientContestant) clientFigure {
	return func(c clientContestant) clientFigure {
		return c.ofRounds(func(rounds []clientRound) float64 {
			var all []time.Duration
			for _, round := range rounds {
				all = append(all, of(round).clock...)
			}
			return float64(quantile(all, q)) / float64(time.Millisecond)
		})
	}
}

// cpuOf is a work's CPU time each, in ms.
func cpuOf(of func(clientRound) work) func(clientContestant) clientFigure {
	return func(c clientContestant) clientFigure {
		return c.ofRounds(func(rounds []clientRound) float64 {
			var cpu time.Duration
			var times int
			for _, round := range rounds {
				cpu, times = cpu+of(round).cpu, times+len(of(round).clock)
			}
			return float64(cpu) / float64(time.Millisecond) / float64(max(1, times))
		})
	}
}

// clientRow is one line of the table.
type clientRow struct {
	name   string
	unit   float64 // what one of the printed unit is
	figure func(clientContestant) clientFigure
}

// clientRows are what is compared, as the page shows it.
func clientRows() []clientRow {
	initial := func(r clientRound) work { return r.initial }
	empty := func(r clientRound) work { return r.empty }
	one := func(r clientRound) work { return r.one }
	receipt := func(r clientRound) work { return r.receipt }
	const median, worst, mib = 0.5, 0.99, 1 << 20
	return []clientRow{
		{"initial sync, ms", 1, clockOf(initial, median)},
		{"– its CPU, ms", 1, cpuOf(initial)},
		{"– its body, KiB", 1 << 10, func(c clientContestant) clientFigure {
			return c.ofRounds(func(rounds []clientRound) float64 { return float64(rounds[0].bytes) })
		}},
		{"empty incremental sync, ms", 1, clockOf(empty, median)},
		{"– its CPU, ms", 1, cpuOf(empty)},
		{"incremental sync after one message, ms", 1, clockOf(one, median)},
		{"send → receipt p50, ms", 1, clockOf(receipt, median)},
		{"send → receipt p99, ms", 1, clockOf(receipt, worst)},
		{"– CPU of both, ms", 1, cpuOf(receipt)},
		{"memory at its start, MiB", mib, func(c clientContestant) clientFigure { return always(c.memory.started) }},
		{"memory with the rooms made, MiB", mib, func(c clientContestant) clientFigure { return always(c.memory.filled) }},
		{"memory after the last round, MiB", mib, func(c clientContestant) clientFigure { return always(c.memory.ended) }},
		{"– of it not pages of files, MiB", mib, func(c clientContestant) clientFigure { return always(c.memory.own) }},
		{"memory, the most, MiB", mib, func(c clientContestant) clientFigure { return always(c.memory.peak) }},
	}
}

// compareClients renders the rounds as a table: one column for each server, with ratios to the first.
func compareClients(all []clientContestant, settings string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n|", settings)
	took := slices.DeleteFunc(slices.Clone(all), func(c clientContestant) bool { return c.left != nil })
	for _, c := range took {
		fmt.Fprintf(&b, " | %s", c.name)
	}
	b.WriteString(" |\n|---|" + strings.Repeat("---|", len(took)) + "\n")
	for _, row := range clientRows() {
		fmt.Fprintf(&b, "| %s |", row.name)
		for i, c := range took {
			figure := row.figure(c)
			fmt.Fprintf(&b, " %s", figure.in(row.unit))
			if first := row.figure(took[0]).value; i > 0 && first > 0 {
				fmt.Fprintf(&b, " = **%s ×**", decimal(figure.value/first))
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	for _, c := range all {
		if c.left != nil {
			fmt.Fprintf(&b, "\n%s was left out: %v\n", c.name, c.left)
		}
	}
	return b.String()
}

// in renders the figure with the range of the rounds, if there is one.
func (f clientFigure) in(unit float64) string {
	if f.low == f.high {
		return decimal(f.value / unit)
	}
	return fmt.Sprintf("%s (%s – %s)", decimal(f.value/unit), decimal(f.low/unit), decimal(f.high/unit))
}

// decimal has three digits that count, or all before the point.
func decimal(v float64) string {
	switch {
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
