// SPDX-License-Identifier: Apache-2.0

package canonicaljson

import (
	"bytes"
	"strconv"
)

// number reads a number and holds it against the rules. It says whether that is how canonical JSON writes it; a reason means that
// there is none, or none that the rules allow, and the end is then where the fault is.
func number(src []byte, start int, rules Rules) (end int, canonical bool, reason string) {
	negative := is(src, start, '-')
	from := start
	if negative {
		from++
	}
	whole := from + 1
	if !is(src, from, '0') {
		if whole = digits(src, from); whole == from {
			return start, false, "expected a value"
		}
	}
	if end, reason = fraction(src, whole); reason != "" {
		return end, false, reason
	}
	zero := end == whole && negative && src[from] == '0'
	if rules == Strict {
		switch {
		case end != whole:
			return end, false, "a number with a fraction or an exponent"
		case zero:
			return end, false, "negative zero"
		case !safe(src[from:whole]):
			return end, false, "an integer outside ±(2^53−1)"
		}
	}
	return end, !zero, ""
}

// integer is the value of a number that is one, without fraction and exponent, and fits 64 bits; 0 if it is none.
func integer(number []byte) (n int64, ok bool) {
	const surely = 18 // digits that any number of which fits
	digits, negative := bytes.CutPrefix(number, []byte("-"))
	if len(digits) > surely {
		if n, err := strconv.ParseInt(string(number), 10, 64); err == nil {
			return n, true
		}
		return 0, false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if negative {
		n = -n
	}
	return n, true
}

// fraction reads the fraction and the exponent, if there are any.
func fraction(src []byte, at int) (end int, reason string) {
	if is(src, at, '.') {
		if end = digits(src, at+1); end == at+1 {
			return end, "expected a digit after '.'"
		}
		at = end
	}
	if is(src, at, 'e') || is(src, at, 'E') {
		at++
		if is(src, at, '+') || is(src, at, '-') {
			at++
		}
		if end = digits(src, at); end == at {
			return end, "expected a digit in the exponent"
		}
		at = end
	}
	return at, ""
}

// is reports whether this byte stands there.
func is(src []byte, at int, c byte) bool { return at < len(src) && src[at] == c }

// digits is where the run of digits that starts here ends.
func digits(src []byte, at int) (end int) {
	for at < len(src) && src[at]-'0' <= 9 {
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

// word reads true, false or null: the end is 0 if that is not what stands there.
func word(src []byte, start int, word string) (end int) {
	end = start + len(word)
	if len(src) < end || string(src[start:end]) != word {
		return 0
	}
	return end
}
