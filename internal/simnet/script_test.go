// SPDX-License-Identifier: Apache-2.0

package simnet_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/internal/simnet"
)

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "no servers"},
		{"a creates", "line 1: a creates: the first line must name the servers"},
		{"servers a a", `line 1: servers a a: "a" is not a letter of its own`},
		{"servers a\nservers b", "line 2: servers b: once, with 1 to 20 servers"},
		{"servers a b\nc creates", "line 2: c creates: neither a thing to do nor servers and what they do"},
		{"servers a\na flies", `line 2: a flies: users cannot "flies"`},
		{"servers a\na says", "line 2: a says: a number is needed"},
		{"servers a\na says 1000", `line 2: a says 1000: "1000" is not a number from 1 to 100`},
		{"servers a b\nb joins", "line 2: b joins: over whom?"},
		{"servers a b\ncut a | a", `line 2: cut a | a: "a" is no server, or named twice`},
		{"servers a\nfaults rain 3", `line 2: faults rain 3: "rain" is no fault`},
		{"servers a\nfaults latency 2s-1s", `line 2: faults latency 2s-1s: "2s-1s" ends before it begins`},
		{"servers a\ncrash a during 1", `line 2: crash a during 1: "during" is neither before nor after`},
		{"servers a b\na polices b", "line 2: a polices b: a policy server is needed: declare it before"},
		{"servers a b c\npolice b\npolice c", "line 3: police c: a server is needed, and there is one at most"},
		{"servers a b\nliar c", "line 2: liar c: a server is needed"},
		{"servers a b\nliar b exaggerates", `line 2: liar b exaggerates: "exaggerates" is no lie`},
		{"servers a b\nliar b\na forges 3", "line 3: a forges 3: only liars do so: declare them before"},
		{"servers a b\nexpect b sorry", `line 2: expect b sorry: a server and one of ["join" "leave" "ban"] are needed`},
		{"servers a\npause 250h", `line 2: pause 250h: "250h" is not a time of up to ten days`},
		{"servers a b\nail b poorly", "line 2: ail b poorly: a server and an ailment are needed"},
		{"servers a b\na writes c 3", "line 2: a writes c 3: a server is needed"},
		{"servers a b\nstock c", "line 2: stock c: a server is needed"},
		{"servers a b\npurged", "line 2: purged: a server is needed"},
		{"servers a b\nb restarts soon", `line 2: b restarts soon: "soon" is not a time of up to ten days`},
		{"servers a b\nail b refuses", "line 2: ail b refuses: how many events: a number is needed"},
	} {
		if _, err := simnet.Parse(test.text); err == nil || err.Error() != test.want {
			t.Errorf("Parse(%q): %v, want %s", test.text, err, test.want)
		}
	}
}

func TestParse(t *testing.T) {
	script, err := simnet.Parse("# A title.\n# More.\nservers a b\n\nfaults latency 1ms-2s lose 5\na b say 3\nb leaves\n")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, step := range script.Steps {
		lines = append(lines, step.Text)
	}
	if script.Title != "A title." || !slices.Equal(script.Servers, []string{"a", "b"}) || !script.Revokes ||
		strings.Join(lines, "; ") != "faults latency 1ms-2s lose 5; a b say 3; b leaves" {
		t.Errorf("Parse = %q, %q, revokes %t: %q", script.Title, script.Servers, script.Revokes, lines)
	}
}

func FuzzParse(f *testing.F) {
	for _, name := range []string{"storm", "power", "sever", "liar-state", "liar-garbage", "bans"} {
		text, err := scripts.ReadFile("testdata/" + name + ".txt")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		script, err := simnet.Parse(text)
		if err == nil && len(script.Servers) == 0 {
			t.Error("a script without servers")
		}
	})
}
