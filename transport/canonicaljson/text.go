// SPDX-License-Identifier: Apache-2.0

package canonicaljson

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// plain marks the bytes that stand for themselves in a string: ASCII but for control characters, '"' and '\'. DEL is plain
//
var plain = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// plainRun is how many plain bytes src starts with.
func plainRun(src []byte) int {
	i := 0
	for ; i+8 <= len(src); i += 8 {
		if special := specials(binary.LittleEndian.Uint64(src[i:])); special != 0 {
			return i + bits.TrailingZeros64(special)/8
		}
	}
	for i < len(src) && plain[src[i]] {
		i++
	}
	return i
}

// specials marks, by their highest bits, which of eight bytes are not plain. Such a byte has its highest bit set, or subtracting
// ' ' from it borrows, or it differs from '"' or '\\' in nothing, in which case subtracting 1 from the difference borrows: a
// borrow sets the highest bit. The byte after it may be marked wrongly, never one before: the first mark is right.
func specials(w uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, backslash := w^ones*'"', w^ones*'\\'
	return (w | (w - ones*' ') | (quote - ones) | (backslash - ones)) & highs
}

const lowerHex = "0123456789abcdef"

// spelling is what is odd about a string.
type spelling struct {
	escaped   bool // it holds a backslash
	canonical bool // but spelt as canonical JSON has it
	lone      bool // it holds a lone surrogate
}

// oddText reads on in a string, from a byte that does not stand for itself or is one of the last of the source. A reason means that it
// is none, and the end is then where the fault is. Surrogates may stand alone if lax; there is no canonical spelling of them.
func oddText(src []byte, start, at int, lax bool) (end int, spelt spelling, reason string) {
	spelt.canonical = true
	high := false
	for {
		at += plainRun(src[at:])
		if at == len(src) {
			return at, spelt, "unterminated string"
		}
		switch c := src[at]; {
		case c == '"':
			if high && !utf8.Valid(src[start+1:at]) {
				return start, spelt, "invalid UTF-8"
			}
			return at + 1, spelt, ""
		case c == '\\':
			width, canonical, reason := escape(src[at:])
			if reason == loneSurrogate && lax {
				width, reason, spelt.lone = len(`\ud800`), "", true
			}
			if reason != "" {
				return at, spelt, reason
			}
			spelt.canonical = spelt.canonical && canonical
			spelt.escaped = true
			at += width
		case c >= utf8.RuneSelf:
			high = true
			for at < len(src) && src[at] >= utf8.RuneSelf {
				at++
			}
		default:
			return at, spelt, "control character in a string"
		}
	}
}

// AppendString appends s as one canonical JSON string, quotes included. What is not UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		width := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, width = utf8.DecodeRuneInString(s[i:]); r != utf8.RuneError || width > 1 {
				i += width
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscape(dst, c)
		i += width
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// appendEscape appends the canonical escape of a byte that is not plain: the short form where there is one, else \u00xx in
// lower case. A byte that is no UTF-8 becomes U+FFFD.
func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\t':
		return append(dst, '\\', 't')
	case '\n':
		return append(dst, '\\', 'n')
	case '\f':
		return append(dst, '\\', 'f')
	case '\r':
		return append(dst, '\\', 'r')
	}
	if c >= utf8.RuneSelf {
		return utf8.AppendRune(dst, utf8.RuneError)
	}
	return append(dst, '\\', 'u', '0', '0', lowerHex[c>>4], lowerHex[c&15])
}

const loneSurrogate = "lone surrogate"

// escape judges the escape that src starts with: how many bytes it spans, and whether that is its canonical spelling. A
// reason means that it is none.
func escape(src []byte) (width int, canonical bool, reason string) {
	if len(src) < 2 {
		return 0, false, "unterminated string"
	}
	switch src[1] {
	case '"', '\\', 'b', 'f', 'n', 'r', 't':
		return 2, true, ""
	case '/':
		return 2, false, ""
	case 'u':
		unit, ok := hexUnit(src)
		switch {
		case !ok:
			return 0, false, "invalid \\u escape"
		case !utf16.IsSurrogate(unit):
			return 6, canonicalUnit(unit, src[5]), ""
		}
		low, ok := hexUnit(src[6:])
		if !ok || utf16.DecodeRune(unit, low) == utf8.RuneError {
			return 0, false, loneSurrogate
		}
		return 12, false, ""
	}
	return 0, false, "invalid escape"
}

// canonicalUnit reports whether \u00xx is how the control character is written: it has no short form, and the only digit
// that can be a letter, the last one, is in lower case.
func canonicalUnit(unit rune, lastDigit byte) bool {
	switch unit {
	case '\b', '\t', '\n', '\f', '\r':
		return false
	}
	return unit < ' ' && !('A' <= lastDigit && lastDigit <= 'F')
}

// hexUnit reads \uXXXX from the start of src.
func hexUnit(src []byte) (unit rune, ok bool) {
	if len(src) < 6 || src[0] != '\\' || src[1] != 'u' {
		return 0, false
	}
	for _, c := range src[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		unit = unit<<4 | rune(c)
	}
	return unit, true
}

// appendUnescaped appends the string that the inside of a scanned JSON string stands for.
func appendUnescaped(dst, inner []byte) []byte {
	for i := 0; i < len(inner); {
		c := inner[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		c = inner[i+1]
		i += 2
		switch c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, _ := hexUnit(inner[i-2:])
			i += 4
			if utf16.IsSurrogate(r) {
				low, _ := hexUnit(inner[i:])
				if r = utf16.DecodeRune(r, low); r != utf8.RuneError { // else it is alone, and U+FFFD
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default: // '"', '\' and '/'
			dst = append(dst, c)
		}
	}
	return dst
}
