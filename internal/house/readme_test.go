// SPDX-License-Identifier: Apache-2.0

package house_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The embedding example of the README is the body of messaging's Example, which is compiled.
func TestReadmeExampleIsCompiled(t *testing.T) {
	readme := read(t, "README.md")
	_, rest, found := strings.Cut(readme, "```go\n")
	shown, _, closed := strings.Cut(rest, "\n```")
	if !found || !closed {
		t.Fatal("README.md has no block of Go")
	}
	_, rest, found = strings.Cut(read(t, "messaging/example_test.go"), "func Example() {\n")
	compiled, _, closed := strings.Cut(rest, "\n}\n")
	if !found || !closed {
		t.Fatal("messaging/example_test.go has no func Example")
	}
	var lines []string
	for line := range strings.Lines(compiled) {
		lines = append(lines, strings.TrimPrefix(line, "\t"))
	}
	if strings.Join(lines, "") != shown {
		t.Errorf("README.md shows\n%s\n\nand messaging/example_test.go compiles\n%s", shown, strings.Join(lines, ""))
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
