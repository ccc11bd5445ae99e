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
	value uint32 // mark; in an object the key's mark is the one before
}

// frame is a container that is being written. Its children are a part of the emitter's stack of them.
type frame struct {
	kind             Kind
	first, next, end int // its first child, the one to write next, and the end
}

// emitter writes a scanned source in canonical form. It belongs to the parse call that made it. The children of all open
// containers share one stack, so the work is linear but for the sorting.
type emitter struct {
	src      []byte
	rules    Rules
	marks    []mark
	without  []string // the keys of the outermost object that are left out
	out      []byte
	children []child
	frames   []frame
}

func newEmitter(s *scanner) emitter {
	const depth, width = 8, 32 // of a typical event
	return emitter{
		src: s.src, rules: s.rules, marks: s.marks, without: s.without, out: make([]byte, 0, len(s.src)),
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
		if top.kind == Object {
			e.leaf(&e.marks[value-1])
			e.out = append(e.out, ':')
		}
		err = e.value(value)
	}
	return err
}

// value writes a scalar, or opens a container.
func (e *emitter) value(i uint32) error {
	if m := &e.marks[i]; m.kind != Object && m.kind != Array {
		e.leaf(m)
		return nil
	}
	return e.open(i)
}

// leaf writes a scalar or a key.
func (e *emitter) leaf(m *mark) {
	text := e.src[m.start:m.end]
	switch {
	case m.escaped && !m.lone:
		e.out = AppendString(e.out, string(e.unescaped(m)))
	case m.kind == Number && string(text) == "-0":
		e.out = append(e.out, '0')
	default:
		e.out = append(e.out, text...)
	}
}

// open writes the bracket and puts the children on the stack, sorted by code point, which is the order of UTF-8 bytes.
func (e *emitter) open(i uint32) error {
	m := &e.marks[i]
	first := len(e.children)
	for c := i + 1; c < m.next; c = e.marks[c].next {
		var key []byte
		if m.kind == Object {
			key = e.unescaped(&e.marks[c])
			c++
		}
		e.children = append(e.children, child{key, c})
	}
	if m.kind == Object {
		if err := e.sort(e.children[first:]); err != nil {
			return err
		}
	}
	if i == 0 {
		e.children = slices.DeleteFunc(e.children, func(c child) bool { return slices.Contains(e.without, string(c.key)) })
	}
	e.frames = append(e.frames, frame{kind: m.kind, first: first, next: first, end: len(e.children)})
	e.out = append(e.out, e.src[m.start])
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
			return &SyntaxError{Offset: int(e.marks[second].start), Reason: "duplicate key"}
		}
	}
	return nil
}

// close writes the closing bracket of the innermost container.
func (e *emitter) close(top frame) {
	closing := byte(']')
	if top.kind == Object {
		closing = '}'
	}
	e.out = append(e.out, closing)
	e.children = e.children[:top.first]
	e.frames = e.frames[:len(e.frames)-1]
}

// unescaped is the string that a String of the source stands for.
func (e *emitter) unescaped(m *mark) []byte {
	inner := e.src[m.start+1 : m.end-1]
	if !m.escaped {
		return inner
	}
	return appendUnescaped(make([]byte, 0, len(inner)), inner)
}
