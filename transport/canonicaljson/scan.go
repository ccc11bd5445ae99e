// SPDX-License-Identifier: Apache-2.0

package canonicaljson

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// Rules says which numbers a document may hold.
type Rules int

const (
	// Lenient is for room versions 1 to 5: every JSON number is accepted and kept digit for digit, however large or
	// precise, with one exception: "-0" becomes "0", as the appendices' example, Synapse and Dendrite all have it.
	Lenient Rules = iota
	// Strict is for room versions 6 and later and for all that is signed outside rooms: integers in ±(2^53−1),
	// without fraction, exponent or minus sign before zero, however the value would come out.
	Strict
)

const (
	// MaxDepth is how many arrays and objects may stand in each other. The spec names no limit and ours costs nothing to
	// lift, since no walk recurses; it is the limit of encoding/json, so that everything accepted here can be decoded by
	// those who get it from us.
	MaxDepth = 10000

	// MaxSize is the longest source in bytes: offsets are kept in 32 bits. Bodies are capped well below this.
	MaxSize = 1<<31 - 1

	// maxBuffer is the most nodes, of 16 bytes, for which memory is kept from one Parse call to the next: those of any event.
	maxBuffer = 1 << 14

	// maxSafeInteger is 2^53−1, the largest integer of canonical JSON.
	maxSafeInteger = 1<<53 - 1
)

// SyntaxError says why and where a source is not acceptable JSON.
type SyntaxError struct {
	Offset int    // in bytes from the start of the source
	Reason string // "duplicate key", "invalid UTF-8" …
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Reason)
}

// A node is one value or one key. The nodes of a document stand in document order: after an Object its members, each a
// String node for the key and the nodes of the value; after an Array its elements. Nodes are written and read field by field,
// in place: to copy one whole that has just been written stalls the processor, which doubles the time of a scan.
type node struct {
	start, end uint32 // the text, with the quotes or brackets
	next       uint32 // index of the first node after this one and all that it contains
	kind       Kind
	escaped    bool // String: holds a backslash
	unsorted   bool // Object: its keys were not seen in strictly rising order
}

// scanner reads one source. It belongs to the Parse call that made it.
//
// The containers whose end has not been read form a stack inside nodes: until then, next of such a node is the container
// around it, and end, in an object, is the node of the key read last (0, which is no key's, before the first).
type scanner struct {
	src       []byte
	pos       int
	rules     Rules
	canonical bool // nothing seen so far differs from canonical form
	nodes     []node
	top       uint32 // the innermost open container, if depth is not 0
	depth     int    // how many are open

	without []string // the keys of the outermost object that are not wanted
	ignored uint32   // the node of the one whose value is being read, 0 if none is
	before  bool     // what canonical was before that value
}

// scan reads the whole source.
func (s *scanner) scan() error {
	for {
		complete, err := s.value()
		for complete && err == nil {
			if s.depth == 0 {
				return s.end()
			}
			if s.ignored != 0 && s.depth == 1 {
				s.forget()
			}
			complete, err = s.separator()
		}
		if err != nil {
			return err
		}
	}
}

// value reads a scalar or an empty container, which is then complete, or the start of a container up to its first value.
func (s *scanner) value() (complete bool, err error) {
	switch c := s.peek(); c {
	case '{':
		return s.enter(Object, '}')
	case '[':
		return s.enter(Array, ']')
	case '"':
		return true, s.text()
	case 't':
		return true, s.literal("true", Bool)
	case 'f':
		return true, s.literal("false", Bool)
	case 'n':
		return true, s.literal("null", Null)
	default:
		return true, s.number()
	}
}

// enter reads the opening bracket, and the first key of an object.
func (s *scanner) enter(kind Kind, closing byte) (complete bool, err error) {
	if s.depth == MaxDepth {
		return false, s.fail(fmt.Sprintf("nested deeper than %d", MaxDepth))
	}
	self := uint32(len(s.nodes))
	s.nodes = append(s.nodes, node{})
	n := &s.nodes[self]
	n.start, n.next, n.kind = uint32(s.pos), s.top, kind
	s.pos++
	if s.peek() == closing {
		s.pos++
		n.end, n.next = uint32(s.pos), self+1
		return true, nil
	}
	s.top = self
	s.depth++
	if kind == Object {
		return false, s.key()
	}
	return false, nil
}

// separator reads what follows a value inside a container: the closing bracket, which completes the container, or a comma
// and, in an object, the next key.
func (s *scanner) separator() (complete bool, err error) {
	self := &s.nodes[s.top]
	object := self.kind == Object
	switch c := s.peek(); {
	case c == ',':
		s.pos++
		if object {
			return false, s.key()
		}
		return false, nil
	case c == '}' && object, c == ']' && !object:
		s.pos++
		s.top = self.next
		s.depth--
		self.end, self.next = uint32(s.pos), uint32(len(s.nodes))
		return true, nil
	case object:
		return false, s.fail("expected ',' or '}'")
	default:
		return false, s.fail("expected ',' or ']'")
	}
}

// key reads a key and its colon, and notes whether the keys of the object still rise. Keys with escapes do not sort as they
// are spelt, so they count as unsorted and are compared when the object is sorted.
func (s *scanner) key() error {
	if s.peek() != '"' {
		return s.fail("expected a key")
	}
	self := uint32(len(s.nodes))
	if err := s.text(); err != nil {
		return err
	}
	if s.peek() != ':' {
		return s.fail("expected ':'")
	}
	s.pos++
	object, this := &s.nodes[s.top], &s.nodes[self]
	if last := object.end; this.escaped || last != 0 && bytes.Compare(s.inner(&s.nodes[last]), s.inner(this)) >= 0 {
		object.unsorted = true
		s.canonical = false
	}
	object.end = self
	if s.depth == 1 && len(s.without) > 0 && s.unwanted(this) {
		s.ignored, s.before = self, s.canonical
	}
	return nil
}

// unwanted reports whether a key is one of those that are not wanted.
func (s *scanner) unwanted(key *node) bool {
	text := s.inner(key)
	if key.escaped {
		text = appendUnescaped(nil, text)
	}
	for _, one := range s.without {
		if one == string(text) {
			return true
		}
	}
	return false
}

// forget makes one node, of no kind in particular, of an ignored value that is complete. What it holds shall not matter, so neither
// its spelling counts nor what is in it.
func (s *scanner) forget() {
	value := s.ignored + 1
	s.nodes = s.nodes[:value+1]
	n := &s.nodes[value]
	n.end, n.next, n.kind, n.escaped, n.unsorted = uint32(s.pos), value+1, Null, false, false
	s.canonical, s.ignored = s.before, 0
}

// text reads a string: a value or a key.
func (s *scanner) text() error {
	src, start := s.src, s.pos
	var escaped, high bool
	i := start + 1
	for {
		i += plainRun(src[i:])
		if i == len(src) {
			s.pos = i
			return s.fail("unterminated string")
		}
		switch c := src[i]; {
		case c == '"':
			if high && !utf8.Valid(src[start+1:i]) {
				return s.fail("invalid UTF-8")
			}
			s.pos = i + 1
			s.leaf(start, String, escaped)
			return nil
		case c == '\\':
			width, canonical, reason := escape(src[i:])
			if reason == loneSurrogate && s.ignored != 0 {
				width, reason = 6, ""
			}
			if reason != "" {
				s.pos = i
				return s.fail(reason)
			}
			s.canonical = s.canonical && canonical
			escaped = true
			i += width
		case c >= utf8.RuneSelf:
			high = true
			for i < len(src) && src[i] >= utf8.RuneSelf {
				i++
			}
		default:
			s.pos = i
			return s.fail("control character in a string")
		}
	}
}

// number reads a number and holds it against the rules.
func (s *scanner) number() error {
	start := s.pos
	negative := s.take('-')
	digits := s.pos
	if !s.take('0') && s.digits() == 0 {
		s.pos = start
		return s.fail("expected a value")
	}
	integer := s.src[digits:s.pos]
	whole := true
	if s.take('.') {
		whole = false
		if s.digits() == 0 {
			return s.fail("expected a digit after '.'")
		}
	}
	if s.take('e') || s.take('E') {
		whole = false
		_ = s.take('+') || s.take('-')
		if s.digits() == 0 {
			return s.fail("expected a digit in the exponent")
		}
	}
	zero := whole && negative && integer[0] == '0'
	if s.rules == Strict && s.ignored == 0 {
		switch {
		case !whole:
			return s.fail("a number with a fraction or an exponent")
		case zero:
			return s.fail("negative zero")
		case !safe(integer):
			return s.fail("an integer outside ±(2^53−1)")
		}
	}
	s.canonical = s.canonical && !zero
	s.leaf(start, Number, false)
	return nil
}

func (s *scanner) take(c byte) bool {
	if s.pos < len(s.src) && s.src[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// digits reads a run of digits and returns how many there were.
func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.src) && s.src[s.pos]-'0' <= 9 {
		s.pos++
	}
	return s.pos - start
}

// safe reports whether the digits, which have no leading zeros, name an integer up to 2^53−1.
func safe(digits []byte) bool {
	const longest = 16 // digits of 2^53−1
	if len(digits) > longest {
		return false
	}
	var n uint64
	for _, c := range digits {
		n = n*10 + uint64(c-'0')
	}
	return n <= maxSafeInteger
}

func (s *scanner) literal(word string, kind Kind) error {
	start := s.pos
	if len(s.src)-start < len(word) || string(s.src[start:start+len(word)]) != word {
		return s.fail("expected a value")
	}
	s.pos += len(word)
	s.leaf(start, kind, false)
	return nil
}

// leaf adds the node of a scalar that ends here.
func (s *scanner) leaf(start int, kind Kind, escaped bool) {
	s.nodes = append(s.nodes, node{})
	n := &s.nodes[len(s.nodes)-1]
	n.start, n.end, n.next, n.kind, n.escaped = uint32(start), uint32(s.pos), uint32(len(s.nodes)), kind, escaped
}

// peek skips blanks and returns the next byte without reading it; 0 at the end.
func (s *scanner) peek() byte {
	for s.pos < len(s.src) {
		c := s.src[s.pos]
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c
		}
		s.canonical = false
		s.pos++
	}
	return 0
}

func (s *scanner) end() error {
	s.peek()
	if s.pos != len(s.src) {
		return s.fail("something follows the value")
	}
	return nil
}

// inner is the text of a String node without its quotes.
func (s *scanner) inner(n *node) []byte { return s.src[n.start+1 : n.end-1] }

func (s *scanner) fail(reason string) error { return &SyntaxError{Offset: s.pos, Reason: reason} }
