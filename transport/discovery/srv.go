// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"slices"

	"github.com/strata-matrix/strata/transport/dns"
)

// order gives the indices of records as RFC 2782 has them tried: lower priorities first, and within one priority drawn at
// random in proportion to weight. It is drawn anew for each use of cached records, so that load stays spread.
func order(records []dns.Service, intn func(int) int) []int {
	left := make([]int, len(records))
	for i := range left {
		left[i] = i
	}
	// Stable, and weight 0 first within a priority, as the RFC demands before drawing.
	slices.SortStableFunc(left, func(a, b int) int {
		if records[a].Priority != records[b].Priority {
			return int(records[a].Priority) - int(records[b].Priority)
		}
		return min(int(records[a].Weight), 1) - min(int(records[b].Weight), 1)
	})
	ordered := make([]int, 0, len(left))
	for len(left) > 0 {
		drawn := draw(records, left, intn)
		ordered = append(ordered, left[drawn])
		left = slices.Delete(left, drawn, drawn+1)
	}
	return ordered
}

// draw picks a position in left among the records of its first priority.
func draw(records []dns.Service, left []int, intn func(int) int) int {
	priority, sum, end := records[left[0]].Priority, 0, 0
	for end < len(left) && records[left[end]].Priority == priority {
		sum += int(records[left[end]].Weight)
		end++
	}
	mark := intn(sum + 1)
	for i := range end {
		if mark -= int(records[left[i]].Weight); mark <= 0 {
			return i
		}
	}
	return end - 1
}
