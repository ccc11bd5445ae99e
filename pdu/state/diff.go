// SPDX-License-Identifier: Apache-2.0

package state

import (
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// Change is one slot in which two states differ: A is the event in the first, B that in the second, "" an empty slot.
type Change struct {
	Key  event.StateKey
	A, B ident.EventID
}

// Diff returns the slots in which the states a and b differ, sorted by type and key. Its cost is that of the difference:
// what the two trees share is not read.
func Diff(nodes Nodes, a, b Root) ([]Change, error) {
	d := differ{nodes: nodes, found: make(map[event.StateKey]Change)}
	if err := d.diff(a, b, &path{}, 0); err != nil {
		return nil, err
	}
	changes := make([]Change, 0, len(d.found))
	for _, c := range d.found {
		if c.A != c.B {
			changes = append(changes, c)
		}
	}
	slices.SortFunc(changes, func(x, y Change) int { return compareKeys(x.Key, y.Key) })
	return changes, nil
}

// differ collects the slots of the subtrees that differ; a slot that both have alike is dropped at the end.
type differ struct {
	nodes Nodes
	found map[event.StateKey]Change
}

// diff compares two subtrees that stand below depth nibbles of at. Recursion is bounded by pathNibbles.
func (d *differ) diff(a, b Root, at *path, depth int) error {
	switch {
	case a == b:
		return nil
	case a == (Root{}):
		return d.collectB(b, at, depth)
	case b == (Root{}):
		return d.collectA(a, at, depth)
	}
	na, err := load(d.nodes, a, at, depth)
	if err != nil {
		return err
	}
	nb, err := load(d.nodes, b, at, depth)
	if err != nil {
		return err
	}
	// A leaf holds at most leafSize slots and a branch more: with one on either side, all of the branch but leafSize slots
	// is difference. So it is between branches with prefixes of which neither begins with the other.
	apart := na.leaf() || nb.leaf() || na.prefix.common(&nb.prefix, min(na.depth, nb.depth)) < min(na.depth, nb.depth)
	if apart {
		if err := d.collectA(a, at, depth); err != nil {
			return err
		}
		return d.collectB(b, at, depth)
	}
	return d.diffChildren(a, b, na, nb)
}

// diffChildren compares two branches; the deeper one stands as a whole against one child of the other.
func (d *differ) diffChildren(a, b Root, na, nb *node) error {
	upper, ca, cb := na, na.children, nb.children
	switch {
	case na.depth < nb.depth:
		cb = [fanout]Root{}
		cb[nb.prefix.nibble(na.depth)] = b
	case nb.depth < na.depth:
		upper, ca = nb, [fanout]Root{}
		ca[na.prefix.nibble(nb.depth)] = a
	}
	for i := range fanout {
		at, depth := upper.below(i)
		if err := d.diff(ca[i], cb[i], at, depth); err != nil {
			return err
		}
	}
	return nil
}

func (d *differ) collectA(r Root, at *path, depth int) error {
	return scan(d.nodes, r, at, depth, func(e entry) bool {
		c := d.found[e.key]
		c.Key, c.A = e.key, e.id
		d.found[e.key] = c
		return true
	})
}

func (d *differ) collectB(r Root, at *path, depth int) error {
	return scan(d.nodes, r, at, depth, func(e entry) bool {
		c := d.found[e.key]
		c.Key, c.B = e.key, e.id
		d.found[e.key] = c
		return true
	})
}
