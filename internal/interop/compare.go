// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// loadResult is what strata load prints of one run.
type loadResult struct {
	Software      string
	Version       string
	Accepted      int
	PDUs          int
	SettledRate   float64        `json:"settled_per_second"`
	SendSeconds   float64        `json:"send_seconds"`
	SettleSeconds float64        `json:"settle_seconds"`
	P50           float64        `json:"p50_ms"`
	P99           float64        `json:"p99_ms"`
	Errors        map[string]int `json:"errors"`
	Unsettled     string
	Sampled       int
	Shown         int
}

// measured is one run with what it took the server.
type measured struct {
	loadResult
	cpu    time.Duration // of the server's process, while it was under load
	memory int64         // bytes, the most that were resident since it started
}

// cpuPerPDU is in µs.
func (m measured) cpuPerPDU() float64 {
	return float64(m.cpu) / float64(time.Microsecond) / float64(max(1, m.Accepted))
}

// shown is the share of the accepted events that the server shows when all has come to rest.
func (m measured) shown() float64 { return float64(m.Shown) / float64(max(1, m.Sampled)) }

// contestant is one server with all of its runs.
type contestant struct {
	name string
	runs []measured
}

// ofRuns is a figure of every run, sorted.
func (c contestant) ofRuns(figure func(measured) float64) []float64 {
	var all []float64
	for _, run := range c.runs {
		all = append(all, figure(run))
	}
	slices.Sort(all)
	return all
}

// median is the one in the middle, or the lower of two.
func median(sorted []float64) float64 { return sorted[(len(sorted)-1)/2] }

func rateOf(m measured) float64 { return m.SettledRate }

// A comparison's part of the page is between its first line and the next last one; what stands around them is kept.
const (
	comparisonBegins = "<!-- make compare writes from here -->"
	clientsBegin     = "<!-- make compare-clients writes from here -->"
	comparisonEnds   = "<!-- to here -->"
)

// writeComparison puts the comparison into the page behind the line begins.
func writeComparison(page []byte, begins, comparison string) ([]byte, error) {
	before, rest, begun := bytes.Cut(page, []byte(begins))
	_, after, ended := bytes.Cut(rest, []byte(comparisonEnds))
	if !begun || !ended {
		return nil, fmt.Errorf("the lines %q and %q are missing", begins, comparisonEnds)
	}
	return slices.Concat(before, []byte(begins+"\n"), []byte(comparison), []byte(comparisonEnds), after), nil
}

// compare renders the runs as a table, the fastest first, and against the first the ratios of the others.
func compare(all []contestant, settings string) string {
	slices.SortFunc(all, func(a, b contestant) int {
		return cmp.Compare(median(b.ofRuns(rateOf)), median(a.ofRuns(rateOf)))
	})
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", settings)
	b.WriteString("| server | events/s, median | range | CPU per event | /send p50 | p99 | memory | shown | the first is faster, clock / CPU |\n|---|---|---|---|---|---|---|---|---|\n")
	first := all[0]
	for _, c := range all {
		rates, cpu := c.ofRuns(rateOf), median(c.ofRuns(measured.cpuPerPDU))
		memory := c.ofRuns(func(m measured) float64 { return float64(m.memory) })
		faster := "not all in time"
		if rate := median(rates); rate > 0 {
			faster = fmt.Sprintf("%.0f ×", median(first.ofRuns(rateOf))/rate)
		}
		fmt.Fprintf(&b, "| %s | %.0f | %.0f – %.0f | %.0f µs | %.0f ms | %.0f ms | %.0f MiB | %.0f %% | %s / %.0f × |\n",
			c.name, median(rates), rates[0], rates[len(rates)-1], cpu,
			median(c.ofRuns(func(m measured) float64 { return m.P50 })), median(c.ofRuns(func(m measured) float64 { return m.P99 })),
			memory[len(memory)-1]/(1<<20), 100*median(c.ofRuns(measured.shown)), faster, cpu/median(first.ofRuns(measured.cpuPerPDU)))
	}
	return b.String() + remarks(all)
}

// remarks lists what a reader must know of runs that did not go smoothly.
func remarks(all []contestant) string {
	var b strings.Builder
	for _, c := range all {
		for i, run := range c.runs {
			if len(run.Errors) > 0 || run.Unsettled != "" || run.Accepted < run.PDUs {
				fmt.Fprintf(&b, "\n%s, round %d: %d of %d events accepted, failed transactions %v. %s\n",
					c.name, i+1, run.Accepted, run.PDUs, run.Errors, run.Unsettled)
			}
		}
	}
	return b.String()
}

// clockTick is the unit of times in /proc, 10 ms on every Linux.
const clockTick = 10 * time.Millisecond

// processCost is the CPU time that a process has spent, and the most memory that it had.
func processCost(pid int) (cpu time.Duration, memory int64, err error) {
	folder := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(folder, "stat"))
	if err != nil {
		return 0, 0, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // a name may hold anything
	const user, system = 11, 12                                               // utime and stime, proc(5), without pid and name
	for _, i := range []int{user, system} {
		ticks, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("%s/stat: %w", folder, err)
		}
		cpu += time.Duration(ticks) * clockTick
	}
	memory, err = processMemory(pid, "VmHWM")
	return cpu, memory, err
}

// processMemory is what a process has of one kind of memory, in bytes: VmRSS is what is resident, RssAnon
// that of it which is of no file, VmHWM the most that ever was resident.
func processMemory(pid int, kind string) (int64, error) {
	file := filepath.Join("/proc", strconv.Itoa(pid), "status")
	status, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, kind+":"); ok {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, kind)
}
