// SPDX-License-Identifier: Apache-2.0

package canonicaljson

import "slices"

// AppendWithout appends the canonical bytes of an object without the members of these keys: what most of Matrix's hashes and
// signatures cover. It appends values of other kinds as they are.
func (v Value) AppendWithout(dst []byte, keys ...string) []byte {
	if v.Kind() != Object {
		return append(dst, v.Canonical()...)
	}
	dst = append(dst, '{')
	first := true
	for r := range v.runs(keys) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, v.doc.text[r.start:r.end]...)
	}
	return append(dst, '}')
}

// Without is the object without the members of these keys, as a document of its own that shares nothing with v's. A value of
// another kind is returned as it is.
func (v Value) Without(keys ...string) Value {
	if v.Kind() != Object {
		return v
	}
	return v.without(make([]node, 1, v.doc.nodes[v.node].next-v.node), keys)
}

// without writes the nodes that are left over those given, of which the first is to be the object. They may be v's own, if it
// is a whole document that nobody else has: nodes only move towards the front, behind those yet to be read.
func (v Value) without(nodes []node, keys []string) Value {
	self := v.doc.nodes[v.node]
	out := document{text: make([]byte, 1, self.end-self.start), nodes: nodes}
	out.text[0] = '{'
	for r := range v.runs(keys) {
		if len(out.text) > 1 {
			out.text = append(out.text, ',')
		}
		moved, renumbered := uint32(len(out.text))-r.start, uint32(len(out.nodes))-r.first // modulo 2^32
		out.text = append(out.text, v.doc.text[r.start:r.end]...)
		for _, n := range v.doc.nodes[r.first:r.last] {
			n.start, n.end, n.next = n.start+moved, n.end+moved, n.next+renumbered
			out.nodes = append(out.nodes, n)
		}
	}
	out.text = append(out.text, '}')
	out.nodes[0] = node{end: uint32(len(out.text)), next: uint32(len(out.nodes)), kind: Object}
	return Value{doc: &out}
}

// run is members that follow each other: their text, without a comma at either end, and their nodes.
type run struct {
	start, end  uint32
	first, last uint32 // last is the node after the run
}

// runs yields the longest runs of members of an object that have none of the keys.
func (v Value) runs(keys []string) func(yield func(run) bool) {
	return func(yield func(run) bool) {
		nodes, self := v.doc.nodes, v.doc.nodes[v.node]
		current := run{first: v.node + 1}
		for i := v.node + 1; i < self.next; i = nodes[i+1].next {
			drop := slices.ContainsFunc(keys, func(key string) bool { return v.doc.isText(nodes[i], key) })
			if drop && current.first < i && !yield(current) {
				return
			}
			if drop {
				current = run{first: nodes[i+1].next}
				continue
			}
			if current.first == i {
				current.start = nodes[i].start
			}
			current.end, current.last = nodes[i+1].end, nodes[i+1].next
		}
		if current.first < self.next {
			yield(current)
		}
	}
}
