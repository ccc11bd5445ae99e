// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// Get returns the event in a slot of the state r; false when the slot is empty. It reads one node per level.
func Get(nodes Nodes, r Root, key event.StateKey) (ident.EventID, bool, error) {
	at := pathOf(key)
	for depth := 0; r != (Root{}); {
		n, err := load(nodes, r, &at, 0)
		if err != nil {
			return "", false, err
		}
		if n.leaf() {
			if i, ok := n.find(key); ok {
				return n.entries[i].id, true, nil
			}
			return "", false, nil
		}
		if n.depth < depth {
			return "", false, fmt.Errorf("read state node %x: %w: it belongs elsewhere in the tree", r[:], ErrCorrupt)
		}
		if n.prefix.common(&at, n.depth) < n.depth {
			return "", false, nil
		}
		r, depth = n.children[at.nibble(n.depth)], n.depth+1
	}
	return "", false, nil
}

// Len returns the number of slots in use in the state r. It reads one node.
func Len(nodes Nodes, r Root) (int, error) {
	if r == (Root{}) {
		return 0, nil
	}
	n, err := load(nodes, r, &path{}, 0)
	if err != nil {
		return 0, err
	}
	if n.leaf() {
		return len(n.entries), nil
	}
	return n.count, nil
}

// All returns the whole state r. Its cost is that of the state: prefer Get, ScanType and Diff.
func All(nodes Nodes, r Root) (map[event.StateKey]ident.EventID, error) {
	all := make(map[event.StateKey]ident.EventID)
	err := scan(nodes, r, &path{}, 0, func(e entry) bool { all[e.key] = e.id; return true })
	return all, ignoreStop(err)
}

// ScanType calls visit with the state key and the event of every slot of one type (all members, say) in no meaningful but
// always the same order, until visit returns false. Its cost is that of the slots of the type.
func ScanType(nodes Nodes, r Root, typ string, visit func(stateKey string, id ident.EventID) bool) error {
	at := pathOf(event.StateKey{Type: typ})
	var above path
	for depth := 0; r != (Root{}); {
		n, err := load(nodes, r, &above, depth)
		if err != nil {
			return err
		}
		if n.leaf() || n.depth >= 2*typeBytes {
			err := scan(nodes, r, &above, depth, func(e entry) bool { return e.key.Type != typ || visit(e.key.Key, e.id) })
			return ignoreStop(err)
		}
		if n.prefix.common(&at, n.depth) < n.depth {
			return nil
		}
		i := at.nibble(n.depth)
		r = n.children[i]
		p, d := n.below(i)
		above, depth = *p, d
	}
	return nil
}

// errStop ends a scan whose visitor has seen enough; it never leaves the package.
var errStop = errors.New("stop")

func ignoreStop(err error) error {
	if err == errStop {
		return nil
	}
	return err
}

// scan visits every entry of a subtree. Its recursion is bounded by pathNibbles, since load demands growing depth.
func scan(nodes Nodes, r Root, at *path, depth int, visit func(entry) bool) error {
	if r == (Root{}) {
		return nil
	}
	n, err := load(nodes, r, at, depth)
	if err != nil {
		return err
	}
	for _, e := range n.entries {
		if !visit(e) {
			return errStop
		}
	}
	if n.leaf() {
		return nil
	}
	for i, child := range n.children {
		p, d := n.below(i)
		if err := scan(nodes, child, p, d, visit); err != nil {
			return err
		}
	}
	return nil
}
