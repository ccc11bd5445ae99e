// SPDX-License-Identifier: Apache-2.0

package demo

// shares divides the events among the four acts.
type shares struct {
	talk     int // everyone, all servers alive
	last     int // the server that is to be killed, right before
	alone    int // the others, while it is dead
	together int // everyone, while it catches up
}

// MinEvents is the least number of events of which each act gets one.
const MinEvents = 4

// divide gives talk and alone three tenths each, last one tenth, and together the rest.
func divide(events int) shares {
	s := shares{talk: max(1, events*3/10), last: max(1, events/10), alone: max(1, events*3/10)}
	s.together = events - s.talk - s.last - s.alone
	return s
}

// deal says how many of n events each of the servers sends: as equal as can be, the first ones more.
func deal(n, servers int) []int {
	each := make([]int, servers)
	for i := range n {
		each[i%servers]++
	}
	return each
}
