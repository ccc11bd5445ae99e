// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

func TestPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"a.example", "a.example", true},
		{"a.example", "a.example.attacker.net", false}, // the whole name or nothing
		{"a.example", "evil-a.example", false},
		{"*", "a.example", true},
		{"*.example", "a.example", true},
		{"*.example", "a.b.example", true},
		{"*.example", "example", false},
		{"*.example", "a.example:8448", false},
		{"a.example*", "a.example:8448", true},
		{"?.example", "a.example", true},
		{"?.example", "ab.example", false},
		{"*a*b*.example", "xaxbx.example", true},
		{"*a*b*.example", "xbxax.example", false},
		{"[2001:db8::*]", "[2001:db8::1]", true},
	} {
		p, err := transaction.ParsePattern(tt.pattern)
		if err != nil {
			t.Errorf("ParsePattern(%q): %v", tt.pattern, err)
		}
		if got := p.Matches(ident.ServerName(tt.name)); got != tt.want {
			t.Errorf("%q matches %q: %t, want %t", tt.pattern, tt.name, got, tt.want)
		}
	}
	for _, bad := range []string{"", "a b", "a/b", "*/24", strings.Repeat("*a", 200)} {
		if _, err := transaction.ParsePattern(bad); err == nil {
			t.Errorf("ParsePattern(%q) accepts it", bad)
		}
	}
}

// A pattern is the regular expression in which * is .* and ? is a dot.
func FuzzPattern(f *testing.F) {
	f.Add("*.example", "a.example")
	f.Add("a*?b**c", "aXbbc")
	f.Add("*a*a*a*a*a*b", strings.Repeat("a", 200))
	f.Fuzz(func(t *testing.T, pattern, name string) {
		p, err := transaction.ParsePattern(pattern)
		if err != nil {
			return
		}
		expression := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		server, err := ident.ParseServerName(name) // ASCII: a byte is a character
		if err != nil {
			return
		}
		want := regexp.MustCompile(`(?s)\A` + expression + `\z`).MatchString(name)
		if got := p.Matches(server); got != want {
			t.Errorf("%q matches %q: %t, want %t", pattern, name, got, want)
		}
	})
}
