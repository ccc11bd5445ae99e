// SPDX-License-Identifier: Apache-2.0

package canonicaljson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"sync"
	"unsafe"
)

// Kind says what a Value is.
type Kind uint8

// The kinds of JSON value. Invalid is the kind of the zero Value, which is what an absent member gives.
const (
	Invalid Kind = iota
	Null
	Bool
	Number
	String
	Array
	Object
)

// Value is a node of an immutable parsed document. It is as cheap to copy as an interface and safe to share. The zero Value
// stands for what is absent: it has no members, no elements, and is of no type.
type Value struct {
	doc  *document
	node uint32
}

// document is canonical text with the nodes over it. Nothing changes it once it is made.
type document struct {
	text  []byte
	nodes []node
}

// Parse reads one JSON value of any type. It refuses what is not JSON, duplicate keys (also those that are equal only after
// unescaping), invalid UTF-8, lone surrogates, trailing data, nesting beyond MaxDepth, and the numbers that the rules
// refuse, unless the rules are Foreign; the error is a *SyntaxError. The source is not kept, and not changed.
func Parse(src []byte, rules Rules) (Value, error) {
	return parse(src, rules, nil)
}

// ParseWithout is Parse for an object of which some members are not wanted: they take up no memory, and have to be JSON and nothing
// more, so that neither the rules for numbers nor keys that are there twice or surrogates that stand alone matter inside of them.
// It refuses what is not an object.
func ParseWithout(src []byte, rules Rules, keys ...string) (Value, error) {
	v, err := parse(src, rules, keys)
	if err == nil && v.Kind() != Object {
		return Value{}, &SyntaxError{Reason: "not an object"}
	}
	return v, err
}

// buffers lends parse calls the memory for the nodes of a source: nothing else holds them, a Value has a copy.
var buffers = sync.Pool{New: func() any { return new([]node) }}

// parse reads a document, without some members if it is an object.
func parse(src []byte, rules Rules, without []string) (Value, error) {
	if len(src) > MaxSize {
		return Value{}, &SyntaxError{Offset: MaxSize, Reason: "document too large"}
	}
	buffer := buffers.Get().(*[]node)
	s := scanner{src: src, rules: rules, canonical: true, nodes: (*buffer)[:0], without: without}
	defer func() {
		if *buffer = s.nodes; cap(s.nodes) <= maxBuffer {
			buffers.Put(buffer)
		}
	}()
	if err := s.scan(); err != nil {
		return Value{}, err
	}
	text, nodes := src, s.nodes
	if !s.canonical {
		e := newEmitter(src, rules, s.nodes)
		if err := e.emit(); err != nil {
			return Value{}, err
		}
		text, nodes = e.out, e.nodes
	}
	root := Value{doc: &document{text: text, nodes: nodes}}
	if s.found {
		return root.without(without), nil
	}
	return root.clone(), nil
}

// clone is a whole document again, in memory of its own.
func (v Value) clone() Value {
	return Value{doc: &document{text: bytes.Clone(v.doc.text), nodes: slices.Clone(v.doc.nodes)}}
}

// Canonicalize parses src and returns its canonical form, which the caller owns.
func Canonicalize(src []byte, rules Rules) ([]byte, error) {
	v, err := Parse(src, rules)
	if err != nil {
		return nil, err
	}
	return v.doc.text, nil
}

// Marshal encodes v as encoding/json does and returns the canonical form. It fails if a number is not one that Strict
// allows.
func Marshal(v any) ([]byte, error) {
	src, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	out, err := Canonicalize(src, Strict)
	if err != nil {
		return nil, fmt.Errorf("marshal %T: %w", v, err)
	}
	return out, nil
}

// Kind returns what the value is; Invalid for the zero Value.
func (v Value) Kind() Kind {
	if v.doc == nil {
		return Invalid
	}
	return v.doc.nodes[v.node].kind
}

// Canonical returns the canonical bytes of this value, nil for the zero Value. They are a part of the document: the caller
// must not modify them.
func (v Value) Canonical() []byte {
	if v.doc == nil {
		return nil
	}
	n := &v.doc.nodes[v.node]
	return v.doc.text[n.start:n.end:n.end]
}

// Get returns the member of an object with exactly this key; the zero Value if there is none, or v is not an object.
func (v Value) Get(key string) Value {
	if v.Kind() != Object {
		return Value{}
	}
	nodes := v.doc.nodes
	for i, end := v.node+1, nodes[v.node].next; i < end; i = nodes[i+1].next {
		if v.doc.isText(&nodes[i], key) {
			return Value{v.doc, i + 1}
		}
	}
	return Value{}
}

// Select puts the members of an object with these keys into the places that the keys have in the list, which must be sorted by
// byte and is not longer than into. The places of keys that the object does not have stay as they are, and so do all for a
// value of another kind. One walk finds them all.
func (v Value) Select(into []Value, keys []string) {
	if v.Kind() != Object || len(keys) == 0 {
		return
	}
	nodes, next := v.doc.nodes, 0
	for i, end := v.node+1, nodes[v.node].next; i < end; i = nodes[i+1].next {
		key := v.doc.string(&nodes[i])
		for before(keys[next], key) {
			if next++; next == len(keys) {
				return
			}
		}
		if keys[next] == key {
			into[next] = Value{v.doc, i + 1}
		}
	}
}

// before reports whether one key sorts before another. The first byte mostly tells.
func before[T string | []byte](a, b T) bool {
	if len(a) > 0 && len(b) > 0 && a[0] != b[0] {
		return a[0] < b[0]
	}
	return string(a) < string(b)
}

// Has reports whether an object has a member with exactly this key, whatever its value.
func (v Value) Has(key string) bool { return v.Get(key).doc != nil }

// Len is the number of members of an object or elements of an array, 0 for anything else. It counts them.
func (v Value) Len() int {
	count := 0
	switch v.Kind() {
	case Object:
		for range v.Members() {
			count++
		}
	case Array:
		for range v.Elements() {
			count++
		}
	}
	return count
}

// Members yields the members of an object in canonical order: by code point of the key. It yields nothing for other kinds.
func (v Value) Members() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		if v.Kind() != Object {
			return
		}
		nodes := v.doc.nodes
		for i, end := v.node+1, nodes[v.node].next; i < end; i = nodes[i+1].next {
			if !yield(v.doc.string(&nodes[i]), Value{v.doc, i + 1}) {
				return
			}
		}
	}
}

// Elements yields the elements of an array in order. It yields nothing for other kinds.
func (v Value) Elements() iter.Seq[Value] {
	return func(yield func(Value) bool) {
		if v.Kind() != Array {
			return
		}
		nodes := v.doc.nodes
		for i, end := v.node+1, nodes[v.node].next; i < end; i = nodes[i].next {
			if !yield(Value{v.doc, i}) {
				return
			}
		}
	}
}

// Text returns the string that a String stands for; ok is false for other kinds. It keeps the document alive.
func (v Value) Text() (text string, ok bool) {
	if v.Kind() != String {
		return "", false
	}
	return v.doc.string(&v.doc.nodes[v.node]), true
}

// IsText reports whether the value is a String that stands for exactly s.
func (v Value) IsText(s string) bool {
	return v.Kind() == String && v.doc.isText(&v.doc.nodes[v.node], s)
}

// Int returns a Number that is written as an integer, without fraction or exponent, and fits 64 bits; ok is false for all
// else.
func (v Value) Int() (n int64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	n, err := strconv.ParseInt(v.doc.span(&v.doc.nodes[v.node]), 10, 64)
	return n, err == nil
}

// Bool returns the value of a Bool; ok is false for other kinds.
func (v Value) Bool() (value, ok bool) {
	if v.Kind() != Bool {
		return false, false
	}
	return v.doc.text[v.doc.nodes[v.node].start] == 't', true
}

// span is the text of a node. It shares memory with the document's bytes, which nobody changes: identifiers and keys cost
// no copy.
func (d *document) span(n *node) string {
	return unsafe.String(&d.text[n.start], n.end-n.start)
}

// string is what a String node stands for.
func (d *document) string(n *node) string {
	if n.escaped {
		return d.unescaped(n)
	}
	return unsafe.String(&d.text[n.start+1], n.end-n.start-2)
}

func (d *document) unescaped(n *node) string {
	inner := d.text[n.start+1 : n.end-1]
	return string(appendUnescaped(make([]byte, 0, len(inner)), inner))
}

func (d *document) isText(n *node, s string) bool { return d.string(n) == s }

// isAny reports whether a String node stands for one of the texts.
func (d *document) isAny(n *node, texts []string) bool {
	text := d.string(n)
	for _, one := range texts {
		if one == text {
			return true
		}
	}
	return false
}
