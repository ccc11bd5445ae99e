// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"slices"
	"strings"
)

// Bounds of what is made up about delivery.
const (
	leastInOutages, mostInOutages = 3, 5 // servers
	actsInOutages                 = 14
)

// Outages is a page of text that a seed makes up about delivery: all are honest and have their rights, but are away for hours, ail, are
// killed and cut off, and what they send gets lost or comes more than once.
func Outages(seed Seed) string {
	p := &page{rand: seed.Stream("outages")}
	n := leastInOutages + p.rand.IntN(mostInOutages-leastInOutages+1)
	for i := range n {
		p.honest = append(p.honest, string(rune('a'+i)))
	}
	p.line("# Made up by chance: outages.")
	p.line("servers %s", strings.Join(p.honest, " "))
	if p.rand.IntN(3) == 0 {
		p.line("stock %s", p.oneOf(p.honest))
	}
	p.line("faults latency 5ms-%dms lose %d unanswered %d twice %d late %d replay %d",
		100+p.rand.IntN(2000), p.rand.IntN(6), p.rand.IntN(10), p.rand.IntN(10), p.rand.IntN(3), p.rand.IntN(20))
	p.line("a creates")
	p.line("wait")
	p.line("%s join a", strings.Join(p.honest[1:], " "))
	p.line("wait")
	p.line("settle")
	poisoned := p.oneOf(p.honest) // the one that may be unable to take certain events
	acts := []func(){
		p.converse, p.converse, p.converse, p.split, p.mend, p.fall, p.fall, p.absent, p.absent, p.linger,
		func() { p.ail(poisoned) }, func() { p.ail(poisoned) }, func() { p.line("cure") },
	}
	for range actsInOutages {
		acts[p.rand.IntN(len(acts))]()
	}
	p.line("heal")
	p.line("wait")
	return p.text.String()
}

// converse has some say things in the room, and some write to a device.
func (p *page) converse() {
	p.line("%s say %d", p.some(p.honest), 1+p.rand.IntN(12))
	to := p.oneOf(p.honest)
	others := slices.DeleteFunc(slices.Clone(p.honest), func(letter string) bool { return letter == to })
	p.line("%s write %s %d", p.some(others), to, 1+p.rand.IntN(8))
	if p.rand.IntN(3) == 0 {
		p.line("%s set %d", p.some(p.honest[:1]), 1+p.rand.IntN(2))
	}
}

// absent has a server end, and be back soon or after long.
func (p *page) absent() {
	p.line("%s restarts %s", p.oneOf(p.honest), p.oneOf([]string{"1s", "10m", "40m", "2h", "5h"}))
}

func (p *page) linger() { p.line("pause %s", p.oneOf([]string{"30s", "5m", "40m", "3h"})) }

// ail has a server fail over transactions; over certain events for ever only one that is chosen for that: what nobody can take, nobody
// can have.
func (p *page) ail(poisoned string) {
	switch kind := p.oneOf([]string{"slow", "nonsense", "deaf", "refuses", "chokes"}); kind {
	case "refuses", "chokes":
		p.line("ail %s %s 1", poisoned, kind)
	default:
		p.line("ail %s %s", p.oneOf(p.honest), kind)
	}
}
