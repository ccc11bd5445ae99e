// SPDX-License-Identifier: Apache-2.0

package push

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// matchesWhole tells whether a glob (* and ?) matches all of a text, in whatever case.
func matchesWhole(glob, text string) bool {
	if !strings.ContainsAny(glob, "*?") {
		return strings.EqualFold(glob, text)
	}
	return globMatches(`\A`, glob, `\z`, text)
}

// matchesWord tells whether a glob matches a part of a text that stands between word boundaries, in whatever case: how content.body is
// matched. A word is of the letters A to Z, digits and "_".
func matchesWord(glob, text string) bool {
	if glob == "" {
		return false
	}
	if !strings.ContainsAny(glob, "*?") {
		return holdsWord(strings.ToLower(text), strings.ToLower(glob))
	}
	return globMatches(`(\A|\W)`, glob, `(\W|\z)`, text)
}

// holdsWord tells whether word stands in text with no letter of a word before or after it.
func holdsWord(text, word string) bool {
	for from := 0; ; {
		at := strings.Index(text[from:], word)
		if at < 0 {
			return false
		}
		start := from + at
		end := start + len(word)
		if (start == 0 || !inWord(text[start-1])) && (end == len(text) || !inWord(text[end])) {
			return true
		}
		_, size := utf8.DecodeRuneInString(text[start:])
		from = start + size
	}
}

func inWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// globMatches matches a glob as a regular expression, which Go does in time that is linear in the text. One that is too large for
// that matches nothing.
func globMatches(before, glob, after, text string) bool {
	var expression strings.Builder
	expression.WriteString(`(?is)` + before)
	for _, r := range glob {
		switch r {
		case '*':
			expression.WriteString(`.*?`)
		case '?':
			expression.WriteString(`.`)
		default:
			expression.WriteString(regexp.QuoteMeta(string(r)))
		}
	}
	expression.WriteString(after)
	compiled, err := regexp.Compile(expression.String())
	return err == nil && compiled.MatchString(text)
}
