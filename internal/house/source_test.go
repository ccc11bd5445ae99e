// SPDX-License-Identifier: Apache-2.0

package house_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/strata-matrix/strata"

// A source is one parsed Go file of this repository.
type source struct {
	path string // relative to the module root, with slashes
	file *ast.File
	fset *token.FileSet
	text []byte
}

// pkg is the folder that the file stands in, "." for the root.
func (s source) pkg() string { return path.Dir(s.path) }

// isTest tells whether the file is part of tests only: a suite for tests of other packages is.
func (s source) isTest() bool {
	return strings.HasSuffix(s.path, "_test.go") || s.pkg() == "persistence/storetest"
}

// sources parses every Go file of the repository.
func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var found []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || filepath.Ext(name) != ".go" {
			return nil
		}
		s, err := parse(root, name)
		found = append(found, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 20 {
		t.Fatalf("found only %d Go files: is this the repository?", len(found))
	}
	return found
}

func parse(root, name string) (source, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return source{}, err
	}
	relative, err := filepath.Rel(root, name)
	if err != nil {
		return source{}, err
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	return source{path: filepath.ToSlash(relative), file: file, fset: fset, text: text}, err
}
