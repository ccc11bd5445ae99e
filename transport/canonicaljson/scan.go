// SPDX-License-Identifier: Apache-2.0

package canonicaljson

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
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
	// foreignDepth is how many arrays and objects may stand in each other in a Foreign document. The spec names no limit and ours
	// costs nothing to lift, since no walk recurses; it is the limit of encoding/json, so that everything accepted here can be
	// decoded by those who get it from us.
	foreignDepth = 10000

	// MaxDepth is how many may in any other document: so many fewer that it can be a piece of one that all can decode, such as an
	// event in a transaction or in the reply to a join.
	MaxDepth = foreignDepth - 16

	// MaxSize is the longest source in bytes: offsets are kept in 32 bits. Bodies are capped well below this.
	MaxSize = 1<<31 - 1

	// maxKept is the most nodes, of 16 bytes, for which an Outline keeps memory from one text to the next: those of any event.
	maxKept = 1 << 14

	// maxSafeInteger is 2^53−1, the largest integer of canonical JSON.
	maxSafeInteger = 1<<53 - 1
)

// maxDepth is how many containers may stand in each other by the rules.
func (r Rules) maxDepth() int {
	if r == Foreign {
		return foreignDepth
	}
	return MaxDepth
}

// SyntaxError says why and where a source is not acceptable JSON.
type SyntaxError struct {
	Offset int    // in bytes from the start of the source
	Reason string // "duplicate key", "invalid UTF-8" …
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Reason)
}

// A mark is one value or one key of a source. The marks stand in the order of the source: after an Object its members, each a
// String for the key and the marks of the value; after an Array its elements. Marks are written and read field by field,
// in place: to copy one whole that has just been written stalls the processor, which doubles the time of a scan.
type mark struct {
	start, end uint32 // the text, with the quotes or brackets
	next       uint32 // index of the first mark after this one and all that it contains
	kind       Kind
	escaped    bool // String: holds a backslash
	lone       bool // String: holds a lone surrogate, which only Foreign lets through
}

// scanner reads one source, in whatever spelling, and says what is wrong with it. It belongs to the parse call that made it. Where
// it stands is no field: each step is given the offset to read at and returns the one it came to, so that this, which all else waits
// for, stays in a register.
//
// The containers whose end has not been read form a stack inside marks: until then, next of such a mark is the container around it.
type scanner struct {
	src   []byte
	rules Rules
	marks []mark
	top   uint32 // the innermost open container, if depth is not 0
	depth int    // how many are open

	without []string // the keys of the outermost object that are not wanted
	ignored uint32   // the mark of the one whose value is being read, 0 if none is
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
	if s.depth == s.rules.maxDepth() {
		return 0, false, fail(start, fmt.Sprintf("nested deeper than %d", MaxDepth))
	}
	self := uint32(len(s.marks))
	s.marks = append(s.marks, mark{})
	n := &s.marks[self]
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
	self := &s.marks[s.top]
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
		self.end, self.next = uint32(at+1), uint32(len(s.marks))
		return at + 1, true, nil
	case object:
		return 0, false, fail(at, "expected ',' or '}'")
	default:
		return 0, false, fail(at, "expected ',' or ']'")
	}
}

// key reads a key and its colon.
func (s *scanner) key(at int) (end int, err error) {
	c, at := s.peek(at)
	if c != '"' {
		return 0, fail(at, "expected a key")
	}
	self := uint32(len(s.marks))
	if at, err = s.text(at); err != nil {
		return 0, err
	}
	if c, at = s.peek(at); c != ':' {
		return 0, fail(at, "expected ':'")
	}
	if s.depth == 1 && len(s.without) > 0 && s.unwanted(&s.marks[self]) {
		s.ignored = self
	}
	return at + 1, nil
}

// unwanted reports whether a key is one of those that are not wanted.
func (s *scanner) unwanted(key *mark) bool {
	text := s.src[key.start+1 : key.end-1]
	if key.escaped {
		text = appendUnescaped(nil, text)
	}
	return slices.Contains(s.without, string(text))
}

// forget makes one mark, of no kind in particular, of an ignored value that is complete: what it holds shall not matter.
func (s *scanner) forget(end int) {
	value := s.ignored + 1
	s.marks = s.marks[:value+1]
	m := &s.marks[value]
	m.end, m.next, m.kind, m.escaped = uint32(end), value+1, Null, false
	s.ignored = 0
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
	end, spelt, reason := oddText(src, start, at, s.ignored != 0 || s.rules == Foreign)
	if reason != "" {
		return 0, fail(end, reason)
	}
	s.leaf(start, end, String, spelt.escaped)
	s.marks[len(s.marks)-1].lone = spelt.lone
	return end, nil
}

// number reads a number and holds it against the rules, which do not count inside of what is ignored.
func (s *scanner) number(start int) (end int, err error) {
	rules := s.rules
	if s.ignored != 0 {
		rules = Lenient
	}
	end, _, reason := number(s.src, start, rules)
	if reason != "" {
		return 0, fail(end, reason)
	}
	s.leaf(start, end, Number, false)
	return end, nil
}

func (s *scanner) literal(start int, text string, kind Kind) (end int, err error) {
	if end = word(s.src, start, text); end == 0 {
		return 0, fail(start, "expected a value")
	}
	s.leaf(start, end, kind, false)
	return end, nil
}

// leaf adds the mark of a scalar.
func (s *scanner) leaf(start, end int, kind Kind, escaped bool) {
	s.marks = append(s.marks, mark{})
	n := &s.marks[len(s.marks)-1]
	n.start, n.end, n.next, n.kind, n.escaped = uint32(start), uint32(end), uint32(len(s.marks)), kind, escaped
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
	}
	return 0, at
}

func (s *scanner) end(at int) error {
	if _, at = s.peek(at); at != len(s.src) {
		return fail(at, "something follows the value")
	}
	return nil
}

func fail(at int, reason string) error { return &SyntaxError{Offset: at, Reason: reason} }
