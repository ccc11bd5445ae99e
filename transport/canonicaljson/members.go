// SPDX-License-Identifier: Apache-2.0

package canonicaljson

import "slices"

// Members puts an object together from members of another one, in their order, so that it is canonical too: what is hashed or signed
// is mostly an object with some members left out. Members that follow each other are copied together.
type Members struct {
	of       *document
	out      []byte
	begin    int    // where in out the members start
	from, to uint32 // the run of members that is still to be copied
}

// noRun is where a run starts and ends if there is none: no member follows it.
const noRun = 1<<32 - 1

// MembersOf starts an object at the end of dst, from the members of another one.
func MembersOf(object Value, dst []byte) Members {
	dst = append(dst, '{')
	return Members{of: object.doc, out: dst, begin: len(dst), from: noRun, to: noRun}
}

// Keep adds a member as it is. The zero Value adds none.
func (m *Members) Keep(member Value) {
	if member.doc == nil {
		return
	}
	n := &m.of.nodes[member.node]
	if n.key != m.to+uint32(len(",")) {
		m.copy(m.from, m.to)
		m.from = n.key
	}
	m.to = n.end
}

// Rewrite adds a member with another value, canonical as well, which write appends.
func (m *Members) Rewrite(member Value, write func(dst []byte) []byte) {
	m.Keep(member)
	m.copy(m.from, m.of.nodes[member.node].start)
	m.out = write(m.out)
	m.from, m.to = noRun, noRun
}

// End is dst with the whole object.
func (m *Members) End() []byte {
	m.copy(m.from, m.to)
	return append(m.out, '}')
}

// copy adds a run of members, if it is one.
func (m *Members) copy(from, to uint32) {
	if from >= to {
		return
	}
	if len(m.out) > m.begin {
		m.out = append(m.out, ',')
	}
	m.out = append(m.out, m.of.text[from:to]...)
}

// AppendExcept appends an object without some of its members, which come in its order; the zero Value is none of them.
func (v Value) AppendExcept(dst []byte, members ...Value) []byte {
	m := MembersOf(v, dst)
	self := &v.doc.nodes[v.node]
	from := self.start + 1
	for _, member := range members {
		if member.doc != nil {
			n := &v.doc.nodes[member.node]
			m.copy(from, n.key-1)
			from = n.end + 1
		}
	}
	m.copy(from, self.end-1)
	return append(m.out, '}')
}

// Without is the object without the members of these keys, as a document of its own that shares nothing with v's. A value of another
// kind is returned as it is.
func (v Value) Without(keys ...string) Value {
	if v.Kind() != Object {
		return v
	}
	var unwanted []Value
	for key, member := range v.Members() {
		if slices.Contains(keys, key) {
			unwanted = append(unwanted, member)
		}
	}
	rest, _ := Over(v.AppendExcept(make([]byte, 0, len(v.Canonical())), unwanted...), Foreign) // canonical as it was, by whatever rules
	return rest
}
