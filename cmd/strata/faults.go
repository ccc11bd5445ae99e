// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// fault is one thing that is wrong with a configuration.
type fault struct {
	Key     string `json:"key"` // as in federation.client_timeout
	Problem string `json:"problem"`
	Fix     string `json:"fix"`
}

// String is the fault in one line.
func (f fault) String() string { return fmt.Sprintf("%s %s; %s", f.Key, f.Problem, f.Fix) }

// faults is everything that is wrong with a configuration, an error when there is anything.
type faults []fault

func (f *faults) add(key, problem, fix string) { *f = append(*f, fault{key, problem, fix}) }

func (f faults) summary() string {
	if len(f) == 1 {
		return "the configuration has a fault"
	}
	return fmt.Sprintf("the configuration has %d faults", len(f))
}

// Error lists all of them.
func (f faults) Error() string {
	lines := []string{f.summary()}
	for _, fault := range f {
		lines = append(lines, fault.String())
	}
	return strings.Join(lines, "\n")
}

// orNil keeps an empty list from being an error.
func (f faults) orNil() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// nearest is the known name that differs least from name, "" when none is near.
func nearest(name string, known []string) string {
	best, least := "", len(name)/3+2
	if len(name) > 64 { // no setting is so long; the distance would cost
		return ""
	}
	for _, candidate := range known {
		if d := distance(name, candidate); d < least {
			best, least = candidate, d
		}
	}
	return best
}

// distance is how many bytes must be put in, left out or changed to make b of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
