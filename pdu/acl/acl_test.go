// SPDX-License-Identifier: Apache-2.0

package acl_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/pdu/acl"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

func TestAllows(t *testing.T) {
	tests := []struct {
		name, content string
		allowed       []ident.ServerName
		denied        []ident.ServerName
	}{
		{
			"V-17: the port does not count", `{"allow":["*"],"deny":["evil.com"]}`,
			[]ident.ServerName{"good.com", "good.com:8448"}, []ident.ServerName{"evil.com", "evil.com:8448", "evil.com:1234"},
		},
		{
			"the example of m.room.server_acl", `{"allow":["*"],"allow_ip_literals":false,"deny":["*.evil.com","evil.com"]}`,
			[]ident.ServerName{"notevil.com", "evil.com.example"},
			[]ident.ServerName{"evil.com", "a.evil.com", "1.2.3.4", "1.2.3.4:8448", "[::1]", "[::1]:8448"},
		},
		{
			"M-91: the whole name", `{"allow":["matrix.org"]}`,
			[]ident.ServerName{"matrix.org"}, []ident.ServerName{"evilmatrix.org.attacker.net", "amatrix.org", "matrix.org.uk"},
		},
		{
			"M-91: case does not count", `{"allow":["Matrix.ORG"],"deny":["*.BAD"]}`,
			[]ident.ServerName{"matrix.org", "MATRIX.org"}, []ident.ServerName{"a.bad", "A.Bad"},
		},
		{"M-91: no allow is nobody", `{}`, nil, []ident.ServerName{"a.b"}},
		{"M-91: an allow that is no list", `{"allow":"*"}`, nil, []ident.ServerName{"a.b"}},
		{
			"M-91: wrong types are passed over", `{"allow":[1,"*",null],"deny":[{},"x.y"],"allow_ip_literals":"no"}`,
			[]ident.ServerName{"a.b", "1.2.3.4"}, []ident.ServerName{"x.y"},
		},
		{"a question mark is one byte", `{"allow":["a?c.d"]}`, []ident.ServerName{"abc.d"}, []ident.ServerName{"ac.d", "abbc.d"}},
		{"an address by name", `{"allow":["[::1]","1.2.*"]}`, []ident.ServerName{"[::1]", "1.2.3.4"}, []ident.ServerName{"[::2]", "1.3.3.4"}},
		{"regular expressions are not globs", `{"allow":["a.c","(b|c)"]}`, []ident.ServerName{"a.c"}, []ident.ServerName{"abc", "b"}},
	}
	for _, tt := range tests {
		content, err := canonicaljson.Parse([]byte(tt.content), canonicaljson.Lenient)
		if err != nil {
			t.Fatal(err)
		}
		list := acl.Parse(content)
		for _, server := range tt.allowed {
			if !list.Allows(server) {
				t.Errorf("%s: %s is denied", tt.name, server)
			}
		}
		for _, server := range tt.denied {
			if list.Allows(server) {
				t.Errorf("%s: %s is allowed", tt.name, server)
			}
		}
	}
}

// Globs agree with the regular expressions that they stand for.
func FuzzAllows(f *testing.F) {
	f.Add("*.evil.com", "a.evil.com")
	f.Add("a*b*c?", "aXbYbZcd")
	f.Add("**", "a")
	f.Fuzz(func(t *testing.T, pattern, host string) {
		server, err := ident.ParseServerName(host)
		if err != nil || strings.ContainsAny(host, ":[") || len(pattern) > 64 {
			return
		}
		for _, c := range pattern {
			if c >= 0x80 {
				return
			}
		}
		encoded, err := canonicaljson.Marshal(map[string]any{"allow": []string{pattern}})
		if err != nil {
			t.Fatal(err)
		}
		content, err := canonicaljson.Parse(encoded, canonicaljson.Strict)
		if err != nil {
			t.Fatal(err)
		}
		quoted := regexp.QuoteMeta(pattern)
		quoted = strings.ReplaceAll(strings.ReplaceAll(quoted, `\*`, `.*`), `\?`, `.`)
		want := regexp.MustCompile(`(?is)^` + quoted + `$`).MatchString(host)
		if got := acl.Parse(content).Allows(server); got != want {
			t.Errorf("%q allows %q: %v, want %v", pattern, host, got, want)
		}
	})
}
