// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// Build returns the state that holds exactly the given events, and all of its nodes.
func Build(events map[event.StateKey]ident.EventID) (Root, []Node) {
	var w writer
	return w.build(puts(changeList(events))), w.written
}

// Set returns the state that differs from r by the given changes, where an empty event id empties its slot, and the nodes
// of it that are not in r, children before parents. Changes that change nothing give r back and no nodes.
func Set(nodes Nodes, r Root, changes map[event.StateKey]ident.EventID) (Root, []Node, error) {
	w := writer{nodes: nodes}
	root, _, err := w.set(r, &path{}, 0, changeList(changes))
	if err != nil {
		return Root{}, nil, err
	}
	return root, w.written, nil
}

// change is one entry with its path; an empty id empties the slot.
type change struct {
	entry
	path path
}

// changeList sorts changes by path, so that those for one subtree are next to each other.
func changeList(events map[event.StateKey]ident.EventID) []change {
	list := make([]change, 0, len(events))
	for key, id := range events {
		list = append(list, change{entry{key, id}, pathOf(key)})
	}
	sortByPath(list)
	return list
}

func sortByPath(list []change) {
	slices.SortFunc(list, func(a, b change) int { return bytes.Compare(a.path[:], b.path[:]) })
}

// puts returns the changes that fill a slot.
func puts(changes []change) []change {
	return slices.DeleteFunc(slices.Clone(changes), func(c change) bool { return c.id == "" })
}

// under returns the changes whose paths begin with the first depth nibbles of prefix.
func under(changes []change, prefix *path, depth int) []change {
	return slices.DeleteFunc(slices.Clone(changes), func(c change) bool { return c.path.common(prefix, depth) < depth })
}

// split divides changes, sorted by path and alike before depth, by the nibble at depth.
func split(changes []change, depth int) (parts [fanout][]change) {
	for i := range parts {
		end := 0
		for end < len(changes) && changes[end].path.nibble(depth) == i {
			end++
		}
		parts[i], changes = changes[:end], changes[end:]
	}
	return parts
}

// writer makes new nodes. It lives for one call and belongs to its caller.
type writer struct {
	nodes   Nodes
	written []Node
}

// Node finds what was just written before what is stored, which makes a writer the Nodes of the tree in the making.
func (w *writer) Node(hash Root) (Node, error) {
	for i := len(w.written) - 1; i >= 0; i-- {
		if w.written[i].Hash == hash {
			return w.written[i], nil
		}
	}
	return w.nodes.Node(hash)
}

func (w *writer) add(n *node) Root {
	data := n.encode()
	hash := Root(sha256.Sum256(data))
	w.written = append(w.written, Node{hash, data, n})
	return hash
}

// set makes changes in the subtree r, which stands below depth nibbles of at. It returns the new root of the subtree and
// how many slots it has more than before. Recursion is bounded by pathNibbles.
func (w *writer) set(r Root, at *path, depth int, changes []change) (Root, int, error) {
	if len(changes) == 0 {
		return r, 0, nil
	}
	if r == (Root{}) {
		filled := puts(changes)
		return w.build(filled), len(filled), nil
	}
	n, err := load(w.nodes, r, at, depth)
	if err != nil {
		return Root{}, 0, err
	}
	if n.leaf() {
		entries, changed := merge(n.entries, changes)
		if !changed {
			return r, 0, nil
		}
		return w.build(entries), len(entries) - len(n.entries), nil
	}
	for _, c := range puts(changes) {
		if shared := c.path.common(&n.prefix, n.depth); shared < n.depth {
			return w.setAbove(r, n, changes)
		}
	}
	return w.setBelow(r, n, changes)
}

// merge applies changes to the entries of a leaf; the result is sorted by path.
func merge(entries []entry, changes []change) (merged []change, changed bool) {
	for _, e := range entries {
		merged = append(merged, change{e, pathOf(e.key)})
	}
	for _, c := range changes {
		i := slices.IndexFunc(merged[:len(entries)], func(m change) bool { return m.key == c.key })
		switch {
		case i < 0 && c.id != "":
			merged = append(merged, c)
			changed = true
		case i >= 0 && merged[i].id != c.id:
			merged[i].id = c.id
			changed = true
		}
	}
	merged = puts(merged)
	sortByPath(merged)
	return merged, changed
}

// build makes the canonical subtree of entries that are sorted by path.
func (w *writer) build(entries []change) Root {
	if len(entries) == 0 {
		return Root{}
	}
	if len(entries) <= leafSize {
		n := node{entries: make([]entry, len(entries))}
		for i, e := range entries {
			n.entries[i] = e.entry
		}
		slices.SortFunc(n.entries, compareEntries)
		return w.add(&n)
	}
	n := node{count: len(entries)}
	first, last := &entries[0].path, &entries[len(entries)-1].path
	// Two slots with equal paths would take a collision of 224 bits of SHA-256.
	n.depth = first.common(last, pathNibbles-1)
	n.prefix = truncate(first, n.depth)
	for i, part := range split(entries, n.depth) {
		n.children[i] = w.build(part)
	}
	return w.add(&n)
}

// truncate returns the first depth nibbles of p, the rest zero.
func truncate(p *path, depth int) path {
	var t path
	copy(t[:], p[:(depth+1)/2])
	if depth%2 == 1 {
		t[depth/2] &= 0xf0
	}
	return t
}

// setBelow makes changes in a branch. Those outside its prefix would empty slots that are not there.
func (w *writer) setBelow(r Root, n *node, changes []change) (Root, int, error) {
	next, mark := *n, len(w.written)
	root, err := w.setChildren(&next, under(changes, &n.prefix, n.depth))
	if root == r {
		w.written = w.written[:mark] // nothing changed, and r is stored already
	}
	return root, next.count - n.count, err
}

// setAbove makes changes of which some fill slots outside the branch n: it goes below a new branch, at the depth where
// the first of them parts from its prefix.
func (w *writer) setAbove(r Root, n *node, changes []change) (Root, int, error) {
	shared := n.depth
	for _, c := range puts(changes) {
		shared = c.path.common(&n.prefix, shared)
	}
	next := node{prefix: truncate(&n.prefix, shared), depth: shared, count: n.count}
	next.children[n.prefix.nibble(shared)] = r
	root, err := w.setChildren(&next, under(changes, &n.prefix, shared))
	return root, next.count - n.count, err
}

// setChildren makes changes below a branch, and brings it into its canonical form: counted, or folded into a leaf or into
// its only child.
func (w *writer) setChildren(n *node, changes []change) (Root, error) {
	mark := len(w.written)
	present := 0
	var only Root
	for i, part := range split(changes, n.depth) {
		at, depth := n.below(i)
		child, more, err := w.set(n.children[i], at, depth, part)
		if err != nil {
			return Root{}, err
		}
		n.children[i] = child
		n.count += more
		if child != (Root{}) {
			present, only = present+1, child
		}
	}
	switch {
	case n.count <= leafSize:
		return w.fold(n, mark)
	case present == 1:
		return only, nil
	}
	return w.add(n), nil
}

// fold makes one leaf, or nothing, of a branch with few slots. What was written for its children, from mark on, is dropped.
func (w *writer) fold(n *node, mark int) (Root, error) {
	var entries []change
	for i, child := range n.children {
		at, depth := n.below(i)
		err := scan(w, child, at, depth, func(e entry) bool {
			entries = append(entries, change{entry: e})
			return true
		})
		if err != nil {
			return Root{}, err
		}
	}
	if len(entries) != n.count {
		return Root{}, fmt.Errorf("%w: a branch counts %d slots and has %d", ErrCorrupt, n.count, len(entries))
	}
	w.written = w.written[:mark]
	return w.build(entries), nil
}
