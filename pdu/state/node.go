// SPDX-License-Identifier: Apache-2.0

package state

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	// leafSize is the most slots that one leaf holds: a leaf of member events is then about as large as a full branch, so
	// that no level dominates what a change writes. It is part of the format: another value gives other roots.
	leafSize = 8
	// fanout is the number of children that a branch may have: one for each value of a nibble.
	fanout = 16
	// pathNibbles is the length of a path: 32 bytes of hash. No branch can stand at or below this depth.
	pathNibbles = 2 * sha256.Size
	// typeBytes is how much of a path depends on the event type alone.
	typeBytes = 4
)

// The first byte of a node.
const (
	kindLeaf   = 1
	kindBranch = 2
)

// ErrCorrupt is wrapped by errors about a node whose bytes are not what its address promises or not a node at all. The
// store is damaged: the state has to be fetched or computed again.
var ErrCorrupt = errors.New("corrupt state node")

// Root names a state: the SHA-256 of the topmost node, or all zeros for the empty state.
type Root [sha256.Size]byte

// Node is one node to be stored: Data under Hash. It is immutable.
type Node struct {
	Hash Root
	Data []byte

	decoded *node
}

// ReadNode takes a stored node apart, once for all who are given it, and checks that it is what its address promises.
func ReadNode(hash Root, data []byte) (Node, error) {
	if sha256.Sum256(data) != hash {
		return Node{}, fmt.Errorf("read state node %x: %w: its bytes have another hash", hash[:], ErrCorrupt)
	}
	n, err := decode(data)
	if err != nil {
		return Node{}, fmt.Errorf("read state node %x: %w", hash[:], err)
	}
	return Node{hash, data, n}, nil
}

// Nodes is where nodes are read from. Node returns the node stored under a hash, as ReadNode or a change gave it, or an error
// when there is none.
type Nodes interface {
	Node(hash Root) (Node, error)
}

// path is the place of a slot in the trie.
type path [sha256.Size]byte

// nibble returns the i-th nibble of the path, the high half of each byte first.
func (p *path) nibble(i int) int {
	if i%2 == 0 {
		return int(p[i/2] >> 4)
	}
	return int(p[i/2] & 0x0f)
}

// common is the number of leading nibbles, at most limit, that both paths share.
func (p *path) common(q *path, limit int) int {
	for i := range limit {
		if p.nibble(i) != q.nibble(i) {
			return i
		}
	}
	return limit
}

func pathOf(key event.StateKey) path {
	var p path
	slot := make([]byte, 0, binary.MaxVarintLen64+len(key.Type)+len(key.Key))
	slot = appendText(slot, key.Type)
	slot = append(slot, key.Key...)
	typeHash, slotHash := sha256.Sum256([]byte(key.Type)), sha256.Sum256(slot)
	copy(p[:typeBytes], typeHash[:])
	copy(p[typeBytes:], slotHash[:])
	return p
}

// entry is one slot and the event in it.
type entry struct {
	key event.StateKey
	id  ident.EventID
}

func compareKeys(a, b event.StateKey) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Key, b.Key))
}

func compareEntries(a, b entry) int { return compareKeys(a.key, b.key) }

// node is a decoded node: a leaf has entries, a branch has children.
type node struct {
	entries []entry // leaf: sorted by key, not empty

	prefix   path // branch: its first depth nibbles are shared by all slots below, the rest is zero
	depth    int  // branch: the nibble that it divides by
	count    int  // branch: the number of slots below it
	children [fanout]Root
}

func (n *node) leaf() bool { return n.entries != nil }

// A leaf is: kind, number of entries, then type, key and id of each. A branch is: kind, depth, prefix in whole bytes, number
// of slots, a 16-bit map of the children there are, and their hashes. Numbers are uvarints; texts have their length first.
func (n *node) encode() []byte {
	if n.leaf() {
		data := binary.AppendUvarint([]byte{kindLeaf}, uint64(len(n.entries)))
		for _, e := range n.entries {
			data = appendText(appendText(appendText(data, e.key.Type), e.key.Key), string(e.id))
		}
		return data
	}
	data := append([]byte{kindBranch, byte(n.depth)}, n.prefix[:(n.depth+1)/2]...)
	data = binary.AppendUvarint(data, uint64(n.count))
	var bitmap uint16
	for i, child := range n.children {
		if child != (Root{}) {
			bitmap |= 1 << i
		}
	}
	data = binary.BigEndian.AppendUint16(data, bitmap)
	for _, child := range n.children {
		if child != (Root{}) {
			data = append(data, child[:]...)
		}
	}
	return data
}

func appendText(data []byte, s string) []byte {
	return append(binary.AppendUvarint(data, uint64(len(s))), s...)
}

// decode is strict: it accepts exactly what encode writes for a node that the rules in doc.go allow.
func decode(data []byte) (*node, error) {
	r := reader{rest: data}
	var n *node
	switch kind := r.byte(); kind {
	case kindLeaf:
		n = r.leaf()
	case kindBranch:
		n = r.branch()
	default:
		return nil, fmt.Errorf("%w: unknown kind %d", ErrCorrupt, kind)
	}
	if r.bad || len(r.rest) != 0 {
		return nil, fmt.Errorf("%w: malformed at %d bytes from the end of %d", ErrCorrupt, len(r.rest), len(data))
	}
	return n, nil
}

// reader takes a node apart; after the first fault bad is set and everything reads as zero.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return nil
	}
	head := r.rest[:n]
	r.rest = r.rest[n:]
	return head
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || n > 1 && r.rest[n-1] == 0 { // too short, too long, or not the shortest form
		r.bad = true
		return 0
	}
	r.take(uint64(n))
	return v
}

func (r *reader) text() string { return string(r.take(r.uvarint())) }

func (r *reader) leaf() *node {
	count := r.uvarint()
	if count == 0 || count > leafSize {
		r.bad = true
		return nil
	}
	n := &node{entries: make([]entry, 0, count)}
	for range count {
		e := entry{event.StateKey{Type: r.text(), Key: r.text()}, ident.EventID(r.text())}
		if r.bad || e.id == "" || (len(n.entries) > 0 && compareEntries(n.entries[len(n.entries)-1], e) >= 0) {
			r.bad = true
			return nil
		}
		n.entries = append(n.entries, e)
	}
	return n
}

func (r *reader) branch() *node {
	n := &node{depth: int(r.byte())}
	if n.depth >= pathNibbles {
		r.bad = true
		return nil
	}
	copy(n.prefix[:], r.take(uint64(n.depth+1)/2))
	count := r.uvarint()
	bits := r.take(2)
	if r.bad || count <= leafSize || count > 1<<62 || (n.depth%2 == 1 && n.prefix.nibble(n.depth) != 0) {
		r.bad = true
		return nil
	}
	n.count = int(count)
	bitmap, present := binary.BigEndian.Uint16(bits), 0
	for i := range n.children {
		if bitmap&(1<<i) != 0 {
			present++
			copy(n.children[i][:], r.take(sha256.Size))
			r.bad = r.bad || n.children[i] == (Root{})
		}
	}
	r.bad = r.bad || present < 2
	return n
}

// load reads the node at r and checks its place: it must stand below depth nibbles of the given path: a tree put together from
// foreign nodes cannot send a reader in circles.
func load(nodes Nodes, r Root, at *path, depth int) (*node, error) {
	found, err := nodes.Node(r)
	if err != nil {
		return nil, fmt.Errorf("read state node %x: %w", r[:], err)
	}
	n := found.decoded
	if n == nil || found.Hash != r {
		return nil, fmt.Errorf("read state node %x: %w: it is another", r[:], ErrCorrupt)
	}
	if !n.leaf() && (n.depth < depth || n.prefix.common(at, depth) < depth) {
		return nil, fmt.Errorf("read state node %x: %w: it belongs elsewhere in the tree", r[:], ErrCorrupt)
	}
	return n, nil
}

// below returns the path of the i-th child of a branch, and the depth to hand to load with it.
func (n *node) below(i int) (*path, int) {
	p := n.prefix
	if n.depth%2 == 0 {
		p[n.depth/2] |= byte(i << 4)
	} else {
		p[n.depth/2] |= byte(i)
	}
	return &p, n.depth + 1
}

// find returns the index of key among the entries of a leaf.
func (n *node) find(key event.StateKey) (int, bool) {
	return slices.BinarySearchFunc(n.entries, key, func(e entry, k event.StateKey) int { return compareKeys(e.key, k) })
}
