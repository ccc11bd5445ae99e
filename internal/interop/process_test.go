// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogTail(t *testing.T) {
	for _, test := range []struct {
		name, content string
		n             int
		want          string
	}{
		{"empty", "", 2, ""},
		{"shorter", "a\n", 2, "a"},
		{"as long", "a\nb\n", 2, "a\nb"},
		{"longer", "a\nb\nc\n", 2, "b\nc"},
		{"unfinished line", "a\nb\nc", 2, "b\nc"},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(file, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := logTail(file, test.n); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Every template must be fillable from a site, and every value in it must name something of that site.
func TestConfigurationsAreComplete(t *testing.T) {
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "peer")
	s, err := newSite(dir, ca)
	if err != nil {
		t.Fatal(err)
	}
	if s.FederationPort == s.ClientPort {
		t.Errorf("both listeners got port %d", s.ClientPort)
	}
	for _, name := range []string{"synapse.yaml", "synapse-log.yaml", "dendrite.yaml"} {
		if err := s.configure(name); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(content), "{{") {
			t.Errorf("%s still has a place to fill in", name)
		}
	}
}
