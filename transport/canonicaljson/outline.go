// SPDX-License-Identifier: Apache-2.0

package canonicaljson

import (
	"bytes"
	"slices"
)

// Outline is memory for the nodes of one document after the other. It is for who takes much apart and keeps little of it: the
// Values that it gives are good until it is used again. It belongs to one goroutine; the zero Outline is ready.
type Outline struct {
	doc    document
	marks  []mark // of a source that is not canonical
	buffer []byte // for a text from which something is left out
}

// Read is ParseWithout. What the Values give as text, bytes or strings, is memory of its own and stays good.
func (o *Outline) Read(src []byte, rules Rules, without ...string) (Value, error) {
	v, err := o.read(src, rules, without)
	if err == nil && v.Kind() != Object {
		return Value{}, errNoObject()
	}
	return v, err
}

// Over is Read for text in canonical form, which it does not copy: what the Values give shares its memory. It refuses all other text.
func (o *Outline) Over(canonical []byte, rules Rules) (Value, error) {
	if !o.outline(canonical, rules) {
		return Value{}, errNotCanonical()
	}
	return Value{doc: &o.doc}, nil
}

// Release forgets what was read last, and memory of an unusual size.
func (o *Outline) Release() {
	o.doc.text = nil
	if max(cap(o.doc.nodes), cap(o.marks), cap(o.buffer)) > maxKept {
		*o = Outline{}
	}
}

func errNoObject() error { return &SyntaxError{Reason: "not an object"} }

func errNotCanonical() error { return &SyntaxError{Reason: "not in canonical form"} }

// read reads a document of any type, without some members if it is an object. What is not in canonical form is put into it, and
// read again.
func (o *Outline) read(src []byte, rules Rules, without []string) (Value, error) {
	if len(src) > MaxSize {
		return Value{}, &SyntaxError{Offset: MaxSize, Reason: "document too large"}
	}
	if o.outline(src, rules) {
		o.leaveOut(without)
		o.doc.text = bytes.Clone(o.doc.text)
		return Value{doc: &o.doc}, nil
	}
	text, err := o.rewrite(src, rules, without)
	if err != nil {
		return Value{}, err
	}
	if !o.outline(text, rules) {
		return Value{}, errNotCanonical()
	}
	return Value{doc: &o.doc}, nil
}

// outline makes text the document, if it is in canonical form.
func (o *Outline) outline(text []byte, rules Rules) (canonical bool) {
	o.doc.text = text
	o.doc.escapes = bytes.IndexByte(text, '\\') >= 0
	o.doc.nodes, canonical = outline(o.doc.nodes[:0], text, rules, o.doc.escapes)
	return canonical
}

// leaveOut removes members of the outermost object. It does not write to the text, but makes another one.
func (o *Outline) leaveOut(keys []string) {
	if len(keys) == 0 || o.doc.text[0] != '{' {
		return
	}
	var lengths uint64 // the lengths of the keys, modulo 64: they tell most others apart
	for _, key := range keys {
		lengths |= 1 << (uint(len(key)) % 64)
	}
	for i := uint32(1); i < uint32(len(o.doc.nodes)); {
		n := &o.doc.nodes[i]
		if length := n.start - n.key - uint32(len(`"":`)); (o.doc.escapes || lengths>>(length%64)&1 != 0) && o.doc.isAnyKey(n, keys) {
			o.remove(i)
		} else {
			i = n.next
		}
	}
}

// remove takes out the member of the outermost object that has this node, and the comma behind or before it.
func (o *Outline) remove(i uint32) {
	text, nodes := o.doc.text, o.doc.nodes
	start, end, count := nodes[i].key, nodes[i].end, nodes[i].next-i
	if text[end] == ',' {
		end++
	} else if text[start-1] == ',' {
		start--
	}
	o.buffer = append(append(o.buffer[:0], text[:start]...), text[end:]...)
	nodes = slices.Delete(nodes, int(i), int(i+count))
	nodes[0].end -= end - start
	nodes[0].next -= count
	for j := range nodes[i:] {
		n := &nodes[int(i)+j]
		n.start, n.end, n.next = n.start-(end-start), n.end-(end-start), n.next-count
		if n.key != 0 {
			n.key -= end - start
		}
	}
	o.doc.text, o.doc.nodes = o.buffer, nodes
}

// rewrite is the canonical form of any source, without some members of the outermost object.
func (o *Outline) rewrite(src []byte, rules Rules, without []string) ([]byte, error) {
	s := scanner{src: src, rules: rules, without: without, marks: o.marks[:0]}
	err := s.scan()
	o.marks = s.marks
	if err != nil {
		return nil, err
	}
	e := newEmitter(&s)
	if err := e.emit(); err != nil {
		return nil, err
	}
	return e.out, nil
}

// A node is one value of a canonical text. The nodes of a document stand in document order: after an Object or an Array the
// values that it contains. Since canonical text has no blanks, a key ends two bytes before its value starts, and the first byte of
// a value tells its kind.
type node struct {
	key        uint32 // where the key in front of the value starts, with its quotes; 0 for what is no member of an object
	start, end uint32 // the text of the value, with the quotes or brackets
	next       uint32 // index of the first node after this one and all that it contains
}
