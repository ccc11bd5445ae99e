// SPDX-License-Identifier: Apache-2.0

package canonicaljson

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// outline appends the nodes of a text that is in canonical form. It recognises no other, however slight the difference: what is wrong
// with a text, if anything is, the scanner says.
//
// What holds for the bytes of canonical text wherever they stand is settled first, for all of them at once: there are no control
// characters, they are UTF-8, and mostly there is no backslash, so that a string ends at the next quote. Then one pass goes from value
// to value. The containers whose end has not been read form a stack inside nodes: until then, next of such a node is the container
// around it. The state of the pass is in variables of this one function so that it stays in registers.
func outline(nodes []node, src []byte, rules Rules, escapes bool) (_ []node, canonical bool) {
	if !printable(src) && (!utf8.Valid(src) || bytes.ContainsFunc(src, isControl)) {
		return nodes, false
	}
	var (
		at, depth int    // depth is how many containers are open
		top, last uint32 // the innermost of them, and the value before in it, 0 if there is none
		closing   byte   // the bracket that ends it, 0 if none is open
	)
	for {
		key := uint32(0)
		if closing == '}' {
			key = uint32(at)
			at = text(src, at, rules, escapes)
			if at == 0 || at == len(src) || src[at] != ':' {
				return nodes, false
			}
			if last != 0 && (escapes || !clearlyRises(src, nodes[last].key, key)) && !rises(src, &nodes[last], key, at, rules, escapes) {
				return nodes, false
			}
			at++
		}
		if at == len(src) {
			return nodes, false
		}
		self, end := uint32(len(nodes)), 0
		switch c := src[at]; c {
		case '"':
			end = text(src, at, rules, escapes)
		case '{', '[':
			if depth == rules.maxDepth() {
				return nodes, false
			}
			if !is(src, at+1, c+2) { // '}' and ']' come two after their partners
				nodes = append(nodes, node{key: key, start: uint32(at), next: top})
				depth, top, last, closing = depth+1, self, 0, c+2
				at++
				continue
			}
			end = at + 2
		default:
			if end = digits(src, at); !isWhole(src, at, end) || end == len(src) || src[end] != ',' && src[end] != closing {
				end = literal(src, at, rules)
			}
		}
		if end == 0 {
			return nodes, false
		}
		nodes = append(nodes, node{key: key, start: uint32(at), end: uint32(end), next: self + 1})
		last = self
		for at = end; depth > 0 && at < len(src) && src[at] == closing; at++ {
			n := &nodes[top]
			last, top = top, n.next
			n.end, n.next = uint32(at+1), uint32(len(nodes))
			closing = 0
			if depth--; depth > 0 {
				closing = src[nodes[top].start] + 2
			}
		}
		if depth == 0 {
			return nodes, at == len(src)
		}
		if at == len(src) || src[at] != ',' {
			return nodes, false
		}
		at++
	}
}

// printable reports whether all bytes are ASCII and none is a control character.
func printable(src []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	var odd uint64 // subtracting ' ' from a control character borrows, which sets its highest bit
	for ; len(src) >= 32; src = src[32:] {
		a, b := binary.LittleEndian.Uint64(src), binary.LittleEndian.Uint64(src[8:])
		c, d := binary.LittleEndian.Uint64(src[16:]), binary.LittleEndian.Uint64(src[24:])
		odd |= a | b | c | d | (a - ones*' ') | (b - ones*' ') | (c - ones*' ') | (d - ones*' ')
	}
	for _, c := range src {
		odd |= uint64(c) | (uint64(c) - ' ')
	}
	return odd&highs == 0
}

func isControl(r rune) bool { return r < ' ' }

// isWhole reports whether these digits are a whole number that all rules allow and write so.
func isWhole(src []byte, from, to int) bool {
	const surely = 15 // digits that any number of which is below 2^53
	return to == from+1 || from < to && to <= from+surely && src[from] != '0'
}

// literal reads a number, true, false or null. The end is 0 if none of them stands there as canonical JSON writes it.
func literal(src []byte, at int, rules Rules) (end int) {
	switch src[at] {
	case 't':
		return word(src, at, "true")
	case 'f':
		return word(src, at, "false")
	case 'n':
		return word(src, at, "null")
	}
	end, canonical, reason := number(src, at, rules)
	if !canonical || reason != "" {
		return 0
	}
	return end
}

// text reads a string, of which nothing is left to check but escapes. The end is 0 if there is none. Most
// keys end within the first sixteen bytes.
func text(src []byte, start int, rules Rules, escapes bool) (end int) {
	if !is(src, start, '"') {
		return 0
	}
	if escapes {
		return escapedText(src, start, rules)
	}
	rest := src[start+1:]
	if len(rest) >= 16 {
		const ones, highs = 0x0101010101010101, 0x8080808080808080
		a, b := binary.LittleEndian.Uint64(rest)^ones*'"', binary.LittleEndian.Uint64(rest[8:])^ones*'"'
		if mark := (a - ones) &^ a & highs; mark != 0 { // the first mark is right
			return start + bits.TrailingZeros64(mark)/8 + 2
		}
		if mark := (b - ones) &^ b & highs; mark != 0 {
			return start + bits.TrailingZeros64(mark)/8 + 10
		}
	}
	if length := bytes.IndexByte(rest, '"'); length >= 0 {
		return start + length + 2
	}
	return 0
}

// escapedText is text for a source that has escapes somewhere.
func escapedText(src []byte, start int, rules Rules) (end int) {
	if end = text(src, start, rules, false); end == 0 || bytes.IndexByte(src[start:end], '\\') < 0 {
		return end
	}
	end, spelt, reason := oddText(src, start, start+1, rules == Foreign)
	if !spelt.canonical && !spelt.lone || reason != "" {
		return 0
	}
	return end
}

// rises reports whether a key sorts after that of the member before, both taken for what they stand for. A Foreign one may be the same.
func rises(src []byte, last *node, key uint32, end int, rules Rules, escapes bool) bool {
	a, b := src[last.key+1:last.start-2], src[key+1:end-1]
	if escapes && (bytes.IndexByte(a, '\\') >= 0 || bytes.IndexByte(b, '\\') >= 0) {
		a, b = appendUnescaped(nil, a), appendUnescaped(nil, b)
	}
	return string(a) < string(b) || rules == Foreign && string(a) == string(b)
}

// clearlyRises reports whether the first bytes of two keys without escapes tell that the second sorts after the first, as they mostly
// do. The first byte of an empty key is its quote, which tells nothing if it is the second.
func clearlyRises(src []byte, last, key uint32) bool {
	return src[last+1] < src[key+1] && src[key+1] != '"'
}
