// SPDX-License-Identifier: Apache-2.0

package canonicaljson

// AppendWithout appends the canonical bytes of an object without the members of these keys: what most of Matrix's hashes and
// signatures cover. It appends values of other kinds as they are.
func (v Value) AppendWithout(dst []byte, keys ...string) []byte {
	if v.Kind() != Object {
		return append(dst, v.Canonical()...)
	}
	var space [usualRuns]run
	return v.appendRuns(dst, v.runs(space[:0], keys))
}

// Without is the object without the members of these keys, as a document of its own that shares nothing with v's. A value of
// another kind is returned as it is.
func (v Value) Without(keys ...string) Value {
	if v.Kind() != Object {
		return v
	}
	return v.without(keys)
}

// without makes a document of the runs that are left of an object.
func (v Value) without(keys []string) Value {
	var space [usualRuns]run
	runs := v.runs(space[:0], keys)
	if self := &v.doc.nodes[v.node]; v.node == 0 && len(runs) == 1 && runs[0].end-runs[0].start+2 == self.end-self.start {
		return v.clone() // nothing is left out
	}
	size, count := len("{}"), 1
	for _, r := range runs {
		size += int(r.end-r.start) + len(",")
		count += int(r.last - r.first)
	}
	out := document{text: v.appendRuns(make([]byte, 0, size), runs), nodes: make([]node, 1, count)}
	out.nodes[0] = node{end: uint32(len(out.text)), next: uint32(count), kind: Object}
	start := uint32(len("{"))
	for _, r := range runs {
		moved, renumbered := start-r.start, uint32(len(out.nodes))-r.first // modulo 2^32
		done := len(out.nodes)
		out.nodes = append(out.nodes, v.doc.nodes[r.first:r.last]...)
		if moved|renumbered != 0 {
			for i := range out.nodes[done:] {
				n := &out.nodes[done+i]
				n.start, n.end, n.next = n.start+moved, n.end+moved, n.next+renumbered
			}
		}
		start += r.end - r.start + uint32(len(","))
	}
	return Value{doc: &out}
}

// run is members that follow each other: their text, without a comma at either end, and their nodes.
type run struct {
	start, end  uint32
	first, last uint32 // last is the node after the run
}

// usualRuns is how many runs three keys leave at most.
const usualRuns = 4

// runs appends the longest runs of members of an object that have none of the keys.
func (v Value) runs(runs []run, keys []string) []run {
	nodes, self := v.doc.nodes, &v.doc.nodes[v.node]
	open := false // whether the member before belongs to the last run
	for i := v.node + 1; i < self.next; i = nodes[i+1].next {
		key := &nodes[i]
		if v.doc.isAny(key, keys) {
			open = false
			continue
		}
		if !open {
			open = true
			runs = append(runs, run{start: key.start, first: i})
		}
		last := &runs[len(runs)-1]
		last.end, last.last = nodes[i+1].end, nodes[i+1].next
	}
	return runs
}

// appendRuns appends an object of these runs.
func (v Value) appendRuns(dst []byte, runs []run) []byte {
	dst = append(dst, '{')
	for i, r := range runs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, v.doc.text[r.start:r.end]...)
	}
	return append(dst, '}')
}
