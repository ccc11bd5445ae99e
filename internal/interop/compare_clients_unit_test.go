// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestQuantileIsTheNearestRank(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for _, c := range []struct {
		samples []time.Duration
		q       float64
		want    time.Duration
	}{
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
		{hundred, 0, 1},
		{[]time.Duration{7}, 0.99, 7},
		{[]time.Duration{3, 1, 2}, 0.5, 2},
	} {
		if got := quantile(c.samples, c.q); got != c.want {
			t.Errorf("quantile %v of %v is %d, want %d", c.q, c.samples, got, c.want)
		}
	}
}

// clientRoundOf has times of so many ms, 2 ms of CPU for each.
func clientRoundOf(ms ...time.Duration) clientRound {
	var w work
	for _, each := range ms {
		w.clock = append(w.clock, each*time.Millisecond)
		w.cpu += 2 * time.Millisecond
	}
	return clientRound{initial: w, empty: w, one: w, receipt: w, bytes: 3 << 10}
}

func TestClientsAreComparedToTheFirst(t *testing.T) {
	first := clientContestant{name: "One 1", rounds: []clientRound{clientRoundOf(1, 2, 9), clientRoundOf(4, 5, 6)}}
	other := clientContestant{name: "Two 2", rounds: []clientRound{clientRoundOf(40, 40, 40), clientRoundOf(40, 40, 400)}}
	first.memory.peak, other.memory.peak = 10<<20, 25<<20
	page := compareClients([]clientContestant{first, other, {name: "Three 3", left: errors.New("too slow")}}, "Settings.")
	for _, line := range []string{
		"Settings.\n\n| | One 1 | Two 2 |\n|---|---|---|\n",
		"| initial sync, ms | 4.00 (2.00 – 5.00) | 40.0 = **10.0 ×** |\n",
		"| – its CPU, ms | 2.00 | 2.00 = **1.00 ×** |\n",
		"| – its body, KiB | 3.00 | 3.00 = **1.00 ×** |\n",
		"| send → receipt p99, ms | 9.00 (6.00 – 9.00) | 400 (40.0 – 400) = **44.4 ×** |\n",
		"| memory, the most, MiB | 10.0 | 25.0 = **2.50 ×** |\n",
		"\nThree 3 was left out: too slow\n",
	} {
		if !strings.Contains(page, line) {
			t.Errorf("%s\nlacks %s", page, line)
		}
	}
}
