// SPDX-License-Identifier: Apache-2.0

package canonicaljson

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
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
	text    []byte
	nodes   []node
	escapes bool // there are backslashes in the text
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
		return Value{}, errNoObject()
	}
	return v, err
}

// outlines lends parse calls the memory for the nodes of a source: nothing else holds them, a Value has a copy.
var outlines = sync.Pool{New: func() any { return new(Outline) }}

// parse reads a document, without some members if it is an object.
func parse(src []byte, rules Rules, without []string) (Value, error) {
	o := outlines.Get().(*Outline)
	defer o.giveBack()
	v, err := o.read(src, rules, without)
	return v.owned(), err
}

// Over is Parse for text in canonical form that nobody changes any more: it is not copied. It refuses all other text.
func Over(canonical []byte, rules Rules) (Value, error) {
	o := outlines.Get().(*Outline)
	defer o.giveBack()
	v, err := o.Over(canonical, rules)
	return v.owned(), err
}

func (o *Outline) giveBack() {
	o.Release()
	outlines.Put(o)
}

// owned is a document that was just read, with nodes of its own.
func (v Value) owned() Value {
	if v.doc == nil {
		return v
	}
	return Value{doc: &document{text: v.doc.text, nodes: slices.Clone(v.doc.nodes), escapes: v.doc.escapes}}
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
	return kinds[v.doc.text[v.doc.nodes[v.node].start]]
}

// kinds tells the kind of a value by the first byte of its text.
var kinds = [256]Kind{
	'n': Null, 't': Bool, 'f': Bool, '"': String, '[': Array, '{': Object,
	'-': Number, '0': Number, '1': Number, '2': Number, '3': Number, '4': Number,
	'5': Number, '6': Number, '7': Number, '8': Number, '9': Number,
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
	for i, end := v.node+1, nodes[v.node].next; i < end; i = nodes[i].next {
		if v.doc.isKey(&nodes[i], key) {
			return Value{v.doc, i}
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
	for i, end := v.node+1, nodes[v.node].next; i < end; i = nodes[i].next {
		key := v.doc.key(&nodes[i])
		for keys[next] != key && before(keys[next], key) {
			if next++; next == len(keys) {
				return
			}
		}
		if keys[next] == key {
			into[next] = Value{v.doc, i}
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
		for i, end := v.node+1, nodes[v.node].next; i < end; i = nodes[i].next {
			if !yield(v.doc.key(&nodes[i]), Value{v.doc, i}) {
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
	return v.doc.inner(&v.doc.nodes[v.node]), true
}

// IsText reports whether the value is a String that stands for exactly s.
func (v Value) IsText(s string) bool {
	return v.Kind() == String && v.doc.inner(&v.doc.nodes[v.node]) == s
}

// Int returns a Number that is written as an integer, without fraction or exponent, and fits 64 bits; 0 and false for all else.
func (v Value) Int() (n int64, ok bool) {
	if v.Kind() != Number {
		return 0, false
	}
	return integer(v.Canonical())
}

// Bool returns the value of a Bool; ok is false for other kinds.
func (v Value) Bool() (value, ok bool) {
	if v.Kind() != Bool {
		return false, false
	}
	return v.doc.text[v.doc.nodes[v.node].start] == 't', true
}

// span is a part of the text, which nobody changes: identifiers and keys share its memory and cost no copy.
func (d *document) span(start, end uint32) string {
	part := d.text[start:end]
	return unsafe.String(unsafe.SliceData(part), len(part))
}

// inner is what a String stands for.
func (d *document) inner(n *node) string { return d.unescaped(d.span(n.start+1, n.end-1)) }

// key is what the key of a member stands for.
func (d *document) key(n *node) string { return d.unescaped(d.span(n.key+1, n.start-2)) }

// isKey reports whether this is the key of a member.
func (d *document) isKey(n *node, key string) bool {
	if d.escapes {
		return d.key(n) == key
	}
	return int(n.start-n.key) == len(`"":`)+len(key) && string(d.text[n.key+1:n.start-2]) == key
}

// isAnyKey reports whether one of these is the key of a member.
func (d *document) isAnyKey(n *node, keys []string) bool {
	for _, key := range keys {
		if d.isKey(n, key) {
			return true
		}
	}
	return false
}

// unescaped is what the inside of a string stands for.
func (d *document) unescaped(inner string) string {
	if d.escapes {
		return unescape(inner)
	}
	return inner
}

func unescape(inner string) string {
	if strings.IndexByte(inner, '\\') < 0 {
		return inner
	}
	return string(appendUnescaped(make([]byte, 0, len(inner)), []byte(inner)))
}
