// SPDX-License-Identifier: Apache-2.0

package house_test

import (
	"bytes"
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// The style budget, in lines, for code that is not a test.
const (
	maxFile     = 450 // aim for 400
	maxFunction = 70  // aim for 60
	p90Function = 35  // nine functions in ten are no longer than this
)

func TestStyleBudget(t *testing.T) {
	var lengths []int
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		if n := bytes.Count(s.text, []byte("\n")); n > maxFile {
			t.Errorf("%s has %d lines, more than %d: has it grown a second subject?", s.path, n, maxFile)
		}
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1
			lengths = append(lengths, n)
			if n > maxFunction {
				t.Errorf("%s: %s has %d lines, more than %d", s.path, f.Name.Name, n, maxFunction)
			}
			if f.Name.Name == "init" && f.Recv == nil {
				t.Errorf("%s: init: a package must not act when it is imported", s.path)
			}
		}
	}
	slices.Sort(lengths)
	if p90 := lengths[len(lengths)*9/10]; p90 > p90Function {
		t.Errorf("nine functions in ten are up to %d lines long, more than %d", p90, p90Function)
	}
}

func TestEveryFileNamesItsLicence(t *testing.T) {
	for _, s := range sources(t) {
		if !bytes.HasPrefix(s.text, []byte("// SPDX-License-Identifier: Apache-2.0\n")) {
			t.Errorf("%s does not start with the licence line", s.path)
		}
	}
}

func TestEveryPackageTellsItsStory(t *testing.T) {
	docs := map[string]string{}
	for _, s := range sources(t) {
		if !s.isTest() && s.file.Doc != nil {
			docs[s.pkg()] = s.file.Doc.Text()
		}
	}
	for _, s := range sources(t) {
		if !s.isTest() && !strings.Contains(docs[s.pkg()], "\n\t") && !strings.Contains(docs[s.pkg()], "\n    ") {
			t.Errorf("package %s has no doc comment with a figure", s.pkg())
			docs[s.pkg()] = "\n\treported"
		}
	}
}

// Code that can panic on what the network says, and work left for nobody, are found by these words.
func TestWordsThatMustNotAppear(t *testing.T) {
	words := []string{"panic" + "(", "TO" + "DO", "FIX" + "ME", "not impl" + "emented"}
	for _, s := range sources(t) {
		for _, word := range words {
			if !s.isTest() && bytes.Contains(s.text, []byte(word)) {
				t.Errorf("%s contains %q", s.path, word)
			}
		}
	}
}
