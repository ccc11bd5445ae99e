// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"os"
	"strings"
	"testing"
	"time"
)

func runOf(rate float64, accepted int, cpu time.Duration, memory int64) measured {
	return measured{loadResult{SettledRate: rate, Accepted: accepted, PDUs: accepted, P50: 10, P99: 20, Sampled: 200, Shown: 150}, cpu, memory}
}

func TestComparisonIsOfMedians(t *testing.T) {
	page := compare([]contestant{
		{"Slow 1", []measured{runOf(11, 100, 100*time.Second, 3<<20), runOf(10, 100, time.Second, 2<<20), runOf(90, 100, 2*time.Second, 2<<20)}},
		{"Fast 2", []measured{runOf(1000, 1000, time.Second, 1<<20), runOf(2200, 1000, 2*time.Second, 1<<20), runOf(1100, 1000, time.Second, 1<<20)}},
	}, "Settings.")
	want := []string{
		"Settings.\n",
		"| Fast 2 | 1100 | 1000 – 2200 | 1000 µs | 10 ms | 20 ms | 1 MiB | 75 % | 1 × / 1 × |\n",
		"| Slow 1 | 11 | 10 – 90 | 20000 µs | 10 ms | 20 ms | 3 MiB | 75 % | 100 × / 20 × |\n",
	}
	for _, line := range want {
		if !strings.Contains(page, line) {
			t.Errorf("%s\nlacks %s", page, line)
		}
	}
	if strings.Index(page, "Fast 2") > strings.Index(page, "Slow 1") {
		t.Error("the fastest is not first")
	}
}

func TestComparisonTakesItsPlaceInThePage(t *testing.T) {
	part := func(begins, text string) string { return begins + "\n" + text + "\n" + comparisonEnds + "\n" }
	page := "before\n" + part(comparisonBegins, "old") + "between\n" + part(clientsBegin, "kept") + "after\n"
	got, err := writeComparison([]byte(page), comparisonBegins, "new\n")
	if want := "before\n" + part(comparisonBegins, "new") + "between\n" + part(clientsBegin, "kept") + "after\n"; err != nil || string(got) != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	if _, err := writeComparison([]byte("no such lines"), clientsBegin, "new"); err == nil {
		t.Error("a page without the lines is overwritten")
	}
}

func TestProcessCost(t *testing.T) {
	cpu, memory, err := processCost(os.Getpid())
	if err != nil || cpu < 0 || memory < 1<<20 {
		t.Errorf("%s, %d bytes, %v", cpu, memory, err)
	}
}
