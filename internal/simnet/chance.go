// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
)

// Bounds of what chance puts on a page.
const (
	leastByChance, mostByChance = 5, 9 // servers
	crowd                       = 20   // now and then
	actsByChance                = 16
)

// ByChance is a page of text that a seed makes up: what no one thought of. A failing one can be kept in testdata, cut down to what
// matters.
func ByChance(seed Seed) string {
	p := &page{rand: seed.Stream("page")}
	p.begin()
	for range actsByChance {
		p.act()
	}
	p.line("heal")
	if len(p.late) > 0 {
		p.arrive()
	}
	p.line("wait")
	return p.text.String()
}

// page is a scenario that is being made up.
type page struct {
	rand   *rand.Rand
	text   strings.Builder
	honest []string
	liars  []string
	late   []string // join in the middle
}

func (p *page) line(format string, args ...any) {
	fmt.Fprintf(&p.text, format+"\n", args...)
}

func (p *page) oneOf(list []string) string { return list[p.rand.IntN(len(list))] }

// some is one or more of a list, in its order.
func (p *page) some(list []string) string {
	var chosen []string
	for _, x := range list {
		if p.rand.IntN(3) == 0 {
			chosen = append(chosen, x)
		}
	}
	if len(chosen) == 0 {
		chosen = []string{p.oneOf(list)}
	}
	return strings.Join(chosen, " ")
}

// begin has the room made, and most servers in it. The first server, which makes the room, is never thrown out.
func (p *page) begin() {
	n := leastByChance + p.rand.IntN(mostByChance-leastByChance+1)
	if p.rand.IntN(20) == 0 {
		n = crowd
	}
	var all []string
	for i := range n {
		all = append(all, string(rune('a'+i)))
	}
	liars := p.rand.IntN(3)
	p.honest, p.liars = all[:n-liars], all[n-liars:]
	p.line("# Made up by chance.")
	p.line("servers %s", strings.Join(all, " "))
	p.line("faults latency 5ms-%dms lose %d unanswered %d twice %d late %d",
		100+p.rand.IntN(2000), p.rand.IntN(6), p.rand.IntN(6), p.rand.IntN(6), p.rand.IntN(3))
	for _, letter := range p.liars {
		p.line("liar %s", letter)
	}
	p.line("a creates")
	p.line("wait")
	now := p.honest[1:]
	if p.rand.IntN(2) == 0 {
		now, p.late = now[:len(now)-1], now[len(now)-1:]
		p.honest = p.honest[:len(p.honest)-1]
	}
	p.line("%s join a", strings.Join(append(slices.Clone(now), p.liars...), " "))
	p.line("wait")
	p.line("a empowers b %d", 50+50*p.rand.IntN(2))
	p.line("a empowers c %d", 50*p.rand.IntN(2))
	if len(p.liars) > 0 && len(p.late) == 0 && p.rand.IntN(2) == 0 { // else it could keep out those who come late
		p.line("a empowers %s 50", p.liars[0])
	}
	p.line("settle")
	for _, letter := range p.liars {
		p.line("%s remembers", letter)
		p.line("liar %s %s", letter, p.oneOf(slices.Sorted(maps.Keys(lies))))
	}
}

func (p *page) act() {
	acts := []func(){p.talk, p.talk, p.split, p.split, p.fall, p.moderate, p.moderate, p.rest, p.mend}
	if len(p.liars) > 0 {
		acts = append(acts, p.deceive, p.deceive, p.deceive)
	}
	if len(p.late) > 0 {
		acts = append(acts, p.arrive)
	}
	acts[p.rand.IntN(len(acts))]()
}

// mighty is the first few of the honest servers, who may have been given power.
func (p *page) mighty() []string { return p.honest[:min(3, len(p.honest))] }

func (p *page) talk() {
	p.line("%s say %d", p.some(p.honest), 1+p.rand.IntN(4))
	if p.rand.IntN(2) == 0 {
		p.line("%s set %d", p.some(p.mighty()), 1+p.rand.IntN(2))
	}
}

func (p *page) split() {
	if p.rand.IntN(3) == 0 {
		p.line("sever %s %s", p.oneOf(p.honest), p.oneOf(p.honest))
		return
	}
	groups := make([][]string, 2+p.rand.IntN(2))
	for _, letter := range slices.Concat(p.honest, p.late, p.liars) {
		i := p.rand.IntN(len(groups))
		groups[i] = append(groups[i], letter)
	}
	var parts []string
	for _, group := range groups {
		parts = append(parts, strings.Join(group, " "))
	}
	p.line("cut %s", strings.Join(parts, " | "))
}

func (p *page) mend() { p.line("heal") }

func (p *page) rest() { p.line("pause %ds", 1+p.rand.IntN(150)) }

func (p *page) fall() {
	p.line("crash %s %s ?", p.oneOf(p.honest), p.oneOf([]string{"before", "after"}))
}

// moderate is what those with power do to each other. Whether they may is for the rules to say.
func (p *page) moderate() {
	by, target := p.oneOf(p.mighty()), p.oneOf(append(slices.Clone(p.honest[1:]), p.liars...))
	switch p.rand.IntN(7) {
	case 0:
		p.line("%s bans %s", by, target)
	case 1:
		p.line("%s kicks %s", by, target)
	case 2:
		p.line("%s unbans %s", by, target)
	case 3:
		p.line("%s redacts %s", by, p.oneOf(p.honest))
	default:
		p.line("%s empowers %s %d", by, p.oneOf(p.honest[1:]), 50*p.rand.IntN(3))
	}
}

func (p *page) deceive() {
	letter := p.oneOf(p.liars)
	verbs := []string{"forges 4", "forges 8", "forks 6", "hides 1", "hides 3", "chains 30", "says 2", "remembers"}
	p.line("%s %s", letter, p.oneOf(verbs))
	if p.rand.IntN(3) == 0 {
		p.line("liar %s %s", letter, p.oneOf(slices.Sorted(maps.Keys(lies))))
	}
}

func (p *page) arrive() {
	p.line("%s joins a", p.late[0])
	p.honest, p.late = append(p.honest, p.late...), nil
}
