// SPDX-License-Identifier: Apache-2.0

package canonicaljson

import (
	"encoding/binary"
	"fmt"
	"math/bits"
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
	// Foreign is for a document that is checked against its sender's signature and then handed on in pieces, each to be parsed by
	// the rules that it is under: Lenient, and what has no canonical form is left for these to refuse. A key that is repeated
	// stays, in the order of the source, and so does a string with a lone surrogate, spelt as it was. A piece may be as deep as
	// MaxDepth.
	Foreign
)

const (
	// MaxDepth is how many arrays and objects may stand in each other. The spec names no limit and ours costs nothing to
	// lift, since no walk recurses; it is the limit of encoding/json, so that everything accepted here can be decoded by
	// those who get it from us.
	MaxDepth = 10000

	// foreignDepth is for what stands around a piece of a Foreign document.
	foreignDepth = 4

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
	lone       bool // String: holds a lone surrogate, which only Foreign lets through
}

// scanner reads one source. It belongs to the Parse call that made it. Where it stands is no field: each step is given the offset
// to read at and returns the one it came to, so that this, which all else waits for, stays in a register.
//
// The containers whose end has not been read form a stack inside nodes: until then, next of such a node is the container
// around it, and end, in an object, is the node of the key read last (0, which is no key's, before the first).
type scanner struct {
	src       []byte
	rules     Rules
	canonical bool // nothing seen so far differs from canonical form
	nodes     []node
	top       uint32 // the innermost open container, if depth is not 0
	depth     int    // how many are open

	without []string // the keys of the outermost object that are not wanted
	ignored uint32   // the node of the one whose value is being read, 0 if none is
	before  bool     // what canonical was before that value
	found   bool     // one of them was there
}

// scan reads the whole source.
func (s *scanner) scan() error {
	at := 0
	for {
		end, complete, err := s.value(at)
		for complete && err == nil {
			if s.depth == 0 {
				return s.end(end)
			}
			if s.ignored != 0 && s.depth == 1 {
				s.forget(end)
			}
			end, complete, err = s.separator(end)
		}
		if err != nil {
			return err
		}
		at = end
	}
}

// value reads a scalar or an empty container, which is then complete, or the start of a container up to its first value.
func (s *scanner) value(at int) (end int, complete bool, err error) {
	c, at := s.peek(at)
	switch c {
	case '{':
		return s.enter(at, Object, '}')
	case '[':
		return s.enter(at, Array, ']')
	case '"':
		end, err = s.text(at)
	case 't':
		end, err = s.literal(at, "true", Bool)
	case 'f':
		end, err = s.literal(at, "false", Bool)
	case 'n':
		end, err = s.literal(at, "null", Null)
	default:
		end, err = s.number(at)
	}
	return end, true, err
}

// enter reads the opening bracket, and the first key of an object.
func (s *scanner) enter(start int, kind Kind, closing byte) (end int, complete bool, err error) {
	if s.depth >= MaxDepth && (s.rules != Foreign || s.depth == MaxDepth+foreignDepth) {
		return 0, false, fail(start, fmt.Sprintf("nested deeper than %d", MaxDepth))
	}
	self := uint32(len(s.nodes))
	s.nodes = append(s.nodes, node{})
	n := &s.nodes[self]
	n.start, n.next, n.kind = uint32(start), s.top, kind
	c, at := s.peek(start + 1)
	if c == closing {
		n.end, n.next = uint32(at+1), self+1
		return at + 1, true, nil
	}
	s.top = self
	s.depth++
	if kind == Object {
		end, err = s.key(at)
		return end, false, err
	}
	return at, false, nil
}

// separator reads what follows a value inside a container: the closing bracket, which completes the container, or a comma
// and, in an object, the next key.
func (s *scanner) separator(at int) (end int, complete bool, err error) {
	self := &s.nodes[s.top]
	object := self.kind == Object
	c, at := s.peek(at)
	switch {
	case c == ',' && object:
		end, err = s.key(at + 1)
		return end, false, err
	case c == ',':
		return at + 1, false, nil
	case c == '}' && object, c == ']' && !object:
		s.top = self.next
		s.depth--
		self.end, self.next = uint32(at+1), uint32(len(s.nodes))
		return at + 1, true, nil
	case object:
		return 0, false, fail(at, "expected ',' or '}'")
	default:
		return 0, false, fail(at, "expected ',' or ']'")
	}
}

// key reads a key and its colon, and notes whether the keys of the object still rise. Keys with escapes do not sort as they
// are spelt, so they count as unsorted and are compared when the object is sorted.
func (s *scanner) key(at int) (end int, err error) {
	c, at := s.peek(at)
	if c != '"' {
		return 0, fail(at, "expected a key")
	}
	self := uint32(len(s.nodes))
	if at, err = s.text(at); err != nil {
		return 0, err
	}
	if c, at = s.peek(at); c != ':' {
		return 0, fail(at, "expected ':'")
	}
	object, this := &s.nodes[s.top], &s.nodes[self]
	if last := object.end; this.escaped || last != 0 && !before(s.inner(&s.nodes[last]), s.inner(this)) {
		object.unsorted = true
		s.canonical = false
	}
	object.end = self
	if s.depth == 1 && len(s.without) > 0 && s.unwanted(this) {
		s.ignored, s.before, s.found = self, s.canonical, true
	}
	return at + 1, nil
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
func (s *scanner) forget(end int) {
	value := s.ignored + 1
	s.nodes = s.nodes[:value+1]
	n := &s.nodes[value]
	n.end, n.next, n.kind, n.escaped, n.unsorted = uint32(end), value+1, Null, false, false
	s.canonical, s.ignored = s.before, 0
}

// text reads a string: a value or a key. Most hold nothing but plain bytes, and are read here, eight bytes at a time.
func (s *scanner) text(start int) (end int, err error) {
	src, at := s.src, start+1
	for ; at+8 <= len(src); at += 8 {
		if special := specials(binary.LittleEndian.Uint64(src[at:])); special != 0 {
			if at += bits.TrailingZeros64(special) / 8; src[at] != '"' {
				break
			}
			s.leaf(start, at+1, String, false)
			return at + 1, nil
		}
	}
	return s.oddText(start, at)
}

// oddText is text from a byte on that text stops at: one that does not stand for itself, or one of the last of the source.
func (s *scanner) oddText(start, at int) (end int, err error) {
	src := s.src
	var escaped, high, lone bool
	for {
		at += plainRun(src[at:])
		if at == len(src) {
			return 0, fail(at, "unterminated string")
		}
		switch c := src[at]; {
		case c == '"':
			if high && !utf8.Valid(src[start+1:at]) {
				return 0, fail(start, "invalid UTF-8")
			}
			s.leaf(start, at+1, String, escaped)
			if lone {
				s.nodes[len(s.nodes)-1].lone = true
			}
			return at + 1, nil
		case c == '\\':
			width, canonical, reason := escape(src[at:])
			if reason == loneSurrogate && (s.ignored != 0 || s.rules == Foreign) {
				width, canonical, reason, lone = 6, true, "", true
			}
			if reason != "" {
				return 0, fail(at, reason)
			}
			s.canonical = s.canonical && canonical
			escaped = true
			at += width
		case c >= utf8.RuneSelf:
			high = true
			for at < len(src) && src[at] >= utf8.RuneSelf {
				at++
			}
		default:
			return 0, fail(at, "control character in a string")
		}
	}
}

// number reads a number and holds it against the rules.
func (s *scanner) number(start int) (end int, err error) {
	negative := s.is(start, '-')
	digits := start
	if negative {
		digits++
	}
	end = digits + 1
	if !s.is(digits, '0') {
		if end = s.digits(digits); end == digits {
			return 0, fail(start, "expected a value")
		}
	}
	integer := s.src[digits:end]
	whole := end
	if end, err = s.fraction(end); err != nil {
		return 0, err
	}
	zero := end == whole && negative && integer[0] == '0'
	if s.rules == Strict && s.ignored == 0 {
		switch {
		case end != whole:
			return 0, fail(end, "a number with a fraction or an exponent")
		case zero:
			return 0, fail(end, "negative zero")
		case !safe(integer):
			return 0, fail(end, "an integer outside ±(2^53−1)")
		}
	}
	s.canonical = s.canonical && !zero
	s.leaf(start, end, Number, false)
	return end, nil
}

// fraction reads the fraction and the exponent, if there are any.
func (s *scanner) fraction(at int) (end int, err error) {
	if s.is(at, '.') {
		if end = s.digits(at + 1); end == at+1 {
			return 0, fail(end, "expected a digit after '.'")
		}
		at = end
	}
	if s.is(at, 'e') || s.is(at, 'E') {
		at++
		if s.is(at, '+') || s.is(at, '-') {
			at++
		}
		if end = s.digits(at); end == at {
			return 0, fail(end, "expected a digit in the exponent")
		}
		at = end
	}
	return at, nil
}

// is reports whether this byte stands there.
func (s *scanner) is(at int, c byte) bool { return at < len(s.src) && s.src[at] == c }

// digits is where the run of digits that starts here ends.
func (s *scanner) digits(at int) (end int) {
	for at < len(s.src) && s.src[at]-'0' <= 9 {
		at++
	}
	return at
}

// safe reports whether the digits, which have no leading zeros, name an integer up to 2^53−1.
func safe(digits []byte) bool {
	const longest = 16 // digits of 2^53−1
	if len(digits) < longest {
		return true
	}
	if len(digits) > longest {
		return false
	}
	var n uint64
	for _, c := range digits {
		n = n*10 + uint64(c-'0')
	}
	return n <= maxSafeInteger
}

func (s *scanner) literal(start int, word string, kind Kind) (end int, err error) {
	end = start + len(word)
	if len(s.src) < end || string(s.src[start:end]) != word {
		return 0, fail(start, "expected a value")
	}
	s.leaf(start, end, kind, false)
	return end, nil
}

// leaf adds the node of a scalar.
func (s *scanner) leaf(start, end int, kind Kind, escaped bool) {
	s.nodes = append(s.nodes, node{})
	n := &s.nodes[len(s.nodes)-1]
	n.start, n.end, n.next, n.kind, n.escaped = uint32(start), uint32(end), uint32(len(s.nodes)), kind, escaped
}

// peek skips blanks and returns the next byte, 0 at the end, and where it is.
func (s *scanner) peek(at int) (c byte, where int) {
	if at < len(s.src) && s.src[at] > ' ' {
		return s.src[at], at
	}
	return s.blanks(at)
}

func (s *scanner) blanks(at int) (c byte, where int) {
	for ; at < len(s.src); at++ {
		c := s.src[at]
		if c != ' ' && c != '\n' && c != '\r' && c != '\t' {
			return c, at
		}
		s.canonical = false
	}
	return 0, at
}

func (s *scanner) end(at int) error {
	if _, at = s.peek(at); at != len(s.src) {
		return fail(at, "something follows the value")
	}
	return nil
}

// inner is the text of a String node without its quotes.
func (s *scanner) inner(n *node) []byte { return s.src[n.start+1 : n.end-1] }

func fail(at int, reason string) error { return &SyntaxError{Offset: at, Reason: reason} }
