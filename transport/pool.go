// SPDX-License-Identifier: Apache-2.0

package transport

// pool is a limited number of units that parties hold for a time. Nobody gets units who would then hold more than was left free: in
// small units, one party alone gets half of all, the next half of what is left, and so on, so that there is always some for whoever
// comes next. So neither the first nor the greediest can take it from the others, and no share needs to be set for a number of
// parties that nobody knows. Its owner guards it.
type pool[P comparable] struct {
	free int64
	held map[P]int64 // no entry is 0
}

func newPool[P comparable](units int64) pool[P] {
	return pool[P]{free: units, held: make(map[P]int64)}
}

// take gives the party n units more, or none.
func (p *pool[P]) take(party P, n int64) bool {
	if n > 0 && p.held[party]+n > p.free {
		return false
	}
	p.charge(party, n)
	return true
}

// charge makes the party hold n units more, whether or not they are there.
func (p *pool[P]) charge(party P, n int64) {
	if n == 0 {
		return
	}
	p.free -= n
	p.held[party] += n
}

// give takes n units back from the party.
func (p *pool[P]) give(party P, n int64) {
	p.free += n
	if p.held[party] -= n; p.held[party] <= 0 {
		delete(p.held, party)
	}
}
