// SPDX-License-Identifier: Apache-2.0

package canonicaljson

import (
	"bytes"
	"cmp"
	"slices"
)

// child is what an emitter has still to write of an open container.
type child struct {
	key   []byte // unescaped; unused in an array
	value uint32 // node in the source; in an object the key's node is the one before
}

// frame is a container that is being written. Its children are a part of the emitter's stack of them.
type frame struct {
	node             uint32 // in the output
	first, next, end int    // its first child, the one to write next, and the end
}

// emitter writes a scanned source in canonical form. It belongs to the Parse call that made it. The children of all open
// containers share one stack, so the work is linear but for the sorting.
type emitter struct {
	src      []byte
	rules    Rules
	in       []node
	out      []byte
	nodes    []node
	children []child
	frames   []frame
}

func newEmitter(src []byte, rules Rules, in []node) emitter {
	const depth, width = 8, 32 // of a typical event
	return emitter{
		src: src, rules: rules, in: in, out: make([]byte, 0, len(src)), nodes: make([]node, 0, len(in)),
		children: make([]child, 0, width), frames: make([]frame, 0, depth),
	}
}

// emit writes the whole document. The only fault left to find is a duplicate key.
func (e *emitter) emit() error {
	err := e.value(0)
	for err == nil && len(e.frames) > 0 {
		top := &e.frames[len(e.frames)-1]
		if top.next == top.end {
			e.close(*top)
			continue
		}
		if top.next > top.first {
			e.out = append(e.out, ',')
		}
		value := e.children[top.next].value
		top.next++
		if e.nodes[top.node].kind == Object {
			e.leaf(&e.in[value-1])
			e.out = append(e.out, ':')
		}
		err = e.value(value)
	}
	return err
}

// value writes a scalar, or opens a container.
func (e *emitter) value(i uint32) error {
	if n := &e.in[i]; n.kind != Object && n.kind != Array {
		e.leaf(n)
		return nil
	}
	return e.open(i)
}

// leaf writes a scalar or a key.
func (e *emitter) leaf(n *node) {
	start := len(e.out)
	text := e.src[n.start:n.end]
	escaped := false
	switch {
	case n.escaped && !n.lone:
		e.out = AppendString(e.out, string(e.unescaped(n)))
		escaped = bytes.IndexByte(e.out[start:], '\\') >= 0
	case n.kind == Number && string(text) == "-0":
		e.out = append(e.out, '0')
	default:
		e.out = append(e.out, text...)
	}
	e.nodes = append(e.nodes, node{})
	to := &e.nodes[len(e.nodes)-1]
	to.start, to.end, to.next, to.kind = uint32(start), uint32(len(e.out)), uint32(len(e.nodes)), n.kind
	to.escaped, to.lone = escaped || n.lone, n.lone
}

// open writes the bracket and puts the children on the stack, sorted by code point, which is the order of UTF-8 bytes.
func (e *emitter) open(i uint32) error {
	n := &e.in[i]
	first := len(e.children)
	for c := i + 1; c < n.next; c = e.in[c].next {
		var key []byte
		if n.kind == Object {
			key = e.unescaped(&e.in[c])
			c++
		}
		e.children = append(e.children, child{key, c})
	}
	if n.unsorted {
		if err := e.sort(e.children[first:]); err != nil {
			return err
		}
	}
	e.frames = append(e.frames, frame{node: uint32(len(e.nodes)), first: first, next: first, end: len(e.children)})
	e.nodes = append(e.nodes, node{})
	to := &e.nodes[len(e.nodes)-1]
	to.start, to.kind = uint32(len(e.out)), n.kind
	e.out = append(e.out, e.src[n.start])
	return nil
}

// sort orders the members of an object and refuses equal keys, however they are spelt, unless they are Foreign.
func (e *emitter) sort(members []child) error {
	slices.SortFunc(members, func(a, b child) int { return cmp.Or(bytes.Compare(a.key, b.key), cmp.Compare(a.value, b.value)) })
	if e.rules == Foreign {
		return nil
	}
	for i := 1; i < len(members); i++ {
		if a, b := members[i-1], members[i]; bytes.Equal(a.key, b.key) {
			second := max(a.value, b.value) - 1
			return &SyntaxError{Offset: int(e.in[second].start), Reason: "duplicate key"}
		}
	}
	return nil
}

// close writes the closing bracket of the innermost container.
func (e *emitter) close(top frame) {
	n := &e.nodes[top.node]
	closing := byte(']')
	if n.kind == Object {
		closing = '}'
	}
	e.out = append(e.out, closing)
	n.end, n.next = uint32(len(e.out)), uint32(len(e.nodes))
	e.children = e.children[:top.first]
	e.frames = e.frames[:len(e.frames)-1]
}

// unescaped is the string that a String node of the source stands for.
func (e *emitter) unescaped(n *node) []byte {
	inner := e.src[n.start+1 : n.end-1]
	if !n.escaped {
		return inner
	}
	return appendUnescaped(make([]byte, 0, len(inner)), inner)
}
