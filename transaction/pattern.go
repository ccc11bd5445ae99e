// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"fmt"
	"strings"

	"github.com/strata-matrix/strata/transport/ident"
)

// Pattern selects servers by their whole names: * stands for any characters, also none, and ? for one. A name without either is
// the pattern of itself alone.
type Pattern string

// Selector says which servers are meant: a Pattern, or Names.
type Selector interface {
	Matches(server ident.ServerName) bool
}

// Names are servers one by one.
type Names map[ident.ServerName]bool

// Matches tells whether a server is one of those meant.
func (n Names) Matches(server ident.ServerName) bool { return n[server] }

// maxPattern is the longest pattern in bytes: longer than any server name (255 by the identifier grammar), for the stars.
const maxPattern = 300

// ParsePattern refuses what cannot match any server name.
func ParsePattern(s string) (Pattern, error) {
	switch {
	case s == "":
		return "", fmt.Errorf("the pattern is empty: write a server name, or * for all")
	case len(s) > maxPattern:
		return "", fmt.Errorf("the pattern has %d bytes, of %d at most", len(s), maxPattern)
	case strings.Trim(s, "*?") == "":
		return Pattern(s), nil
	}
	// What is left when the wildcards stand for letters has to be a name.
	if _, err := ident.ParseServerName(strings.NewReplacer("*", "1", "?", "1").Replace(s)); err != nil {
		return "", fmt.Errorf("pattern %q matches no server name: %w", s, err)
	}
	return Pattern(s), nil
}

// Matches tells whether a server is one of those meant. It takes at most as many steps as the product of the lengths.
func (p Pattern) Matches(server ident.ServerName) bool {
	star, mark := -1, 0 // the latest star, and what of the name it has reached
	i, n := 0, 0
	for n < len(server) {
		switch {
		case i < len(p) && p[i] == '*':
			star, mark = i, n
			i++
		case i < len(p) && (p[i] == '?' || p[i] == server[n]):
			i++
			n++
		case star >= 0:
			mark++
			i, n = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(string(p[i:]), "*") == ""
}
