// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/transport/ident"
)

// graphOf reads "a:b,c b:d c:d d", each event with its parents.
func graphOf(text string) (nodes []inspect.Node) {
	for _, word := range strings.Fields(text) {
		id, parents, _ := strings.Cut(word, ":")
		n := inspect.Node{Event: inspect.Event{EventID: id, Outcome: "accepted"}}
		if parents != "" {
			for _, parent := range strings.Split(parents, ",") {
				n.Parents = append(n.Parents, ident.EventID(parent))
			}
		}
		nodes = append(nodes, n)
	}
	return nodes
}

func TestDraw(t *testing.T) {
	for name, test := range map[string]struct{ graph, want string }{
		"a line": {"a:b b:c c", `
* a
* b
* c`},
		"a fork and its merge": {"a:b,c b:d c:d d", `
* a
|\
* | b
| * c
|/
* d`},
		"two heads": {"a:c b:c c", `
* a
| * b
|/
* c`},
		"three parents": {"a:b,c,d b:e c:e d:e e", `
* a
|\
|_|\
* | | b
| * | c
| | * d
|_|/
|/
* e`},
		"a line to a lane that is there": {"a:b,c b:d,c c:e,d d:e e", `
* a
|\
* | b
|\|
| * c
|/|
* | d
|/
* e`},
		"a lane that ends": {"a:c b:d c d", `
* a
| * b
* | c
 /
* d`},
	} {
		var lines []string
		for _, r := range draw(graphOf(test.graph)) {
			line := r.drawn
			if r.node != nil {
				line += " " + r.node.EventID
			}
			lines = append(lines, line)
		}
		if diff := cmp.Diff(strings.Split(strings.TrimPrefix(test.want, "\n"), "\n"), lines); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// What a sender writes must not become part of the language that the graph is printed in.
func TestGraphLabelsAreInert(t *testing.T) {
	nodes := graphOf("$a")
	nodes[0].Type, nodes[0].Sender = "\"]; click e0 \"javascript:x\"\n", `\" ] evil [`
	nodes[0].Type += `%%{init: {'themeCSS': 'x'}}%%`
	if got := mermaid(nodes); strings.Count(got, `"`) != 2 || strings.Count(got, "\n") != 4 || strings.Contains(got, "%") {
		t.Errorf("mermaid: %s", got)
	}
	got := dot(nodes)
	if unescaped := strings.ReplaceAll(strings.ReplaceAll(got, `\\`, ""), `\"`, ""); strings.Count(unescaped, `"`) != 2 {
		t.Errorf("dot: %s", got)
	}
}
