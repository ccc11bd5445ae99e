// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/strata-matrix/strata/internal/inspect"
	"github.com/strata-matrix/strata/transport/ident"
)

// lanes draws a graph from top to bottom, each event on a line of its own below those that follow it. A lane is a column; it
// leads down to the event whose id it holds.
//
//   - an event with two parents
//     |\
//     | *        lane 1 leads to the second
//   - |
//     |/         both lead to the same
//     *
type lanes struct {
	to   []ident.EventID
	rows []row
}

// row is a line of the drawing: with a node, or between two nodes.
type row struct {
	drawn string
	node  *inspect.Node
}

// draw lays out a graph in which each event comes before its parents.
func draw(nodes []inspect.Node) []row {
	l := &lanes{}
	for i := range nodes {
		l.add(&nodes[i])
	}
	return l.rows
}

func (l *lanes) add(node *inspect.Node) {
	id := ident.EventID(node.EventID)
	at := slices.Index(l.to, id)
	if at < 0 {
		at = len(l.to)
		l.to = append(l.to, id)
	}
	for j := len(l.to) - 1; j > at; j-- {
		if l.to[j] == id {
			l.connect(at, j, '/')
			l.to = slices.Delete(l.to, j, j+1)
		}
	}
	l.rows = append(l.rows, row{l.line(at, mark(node)), node})
	if len(node.Parents) == 0 {
		l.end(at)
		return
	}
	l.to[at] = node.Parents[0]
	for _, parent := range node.Parents[1:] {
		if j := slices.Index(l.to, parent); j >= 0 {
			l.join(at, j)
			continue
		}
		l.to = append(l.to, parent)
		l.connect(at, len(l.to)-1, '\\')
	}
}

// line is a row with a mark in one lane.
func (l *lanes) line(at int, mark string) string {
	cells := make([]string, len(l.to))
	for i := range cells {
		cells[i] = "|"
	}
	cells[at] = mark
	return strings.Join(cells, " ")
}

// connect draws how lane j leaves lane at, or joins it; those to the right of it move with it.
func (l *lanes) connect(at, j int, slash rune) {
	cells := []rune(strings.Repeat(" ", 2*len(l.to)))
	for k := range j {
		cells[2*k] = '|'
	}
	for k := 2*at + 1; k < 2*j-1; k += 2 {
		cells[k] = '_'
	}
	for k := j; k < len(l.to); k++ {
		cells[2*k-1] = slash
	}
	l.rows = append(l.rows, row{drawn: strings.TrimRight(string(cells), " ")})
}

// join draws how an event in lane at leads to where lane j leads as well.
func (l *lanes) join(at, j int) {
	if at == j {
		return
	}
	cells := []rune(strings.Repeat(" ", 2*len(l.to)))
	for k := range l.to {
		cells[2*k] = '|'
	}
	for k := 2*min(at, j) + 1; k < 2*max(at, j); k += 2 {
		cells[k] = '_'
	}
	if j > at {
		cells[2*j-1] = '\\'
	} else {
		cells[2*j+1] = '/'
	}
	l.rows = append(l.rows, row{drawn: strings.TrimRight(string(cells), " ")})
}

// end closes a lane that leads nowhere.
func (l *lanes) end(at int) {
	if at < len(l.to)-1 {
		cells := []rune(strings.Repeat(" ", 2*len(l.to)))
		for k := range l.to {
			switch {
			case k < at:
				cells[2*k] = '|'
			case k > at:
				cells[2*k-1] = '/'
			}
		}
		l.rows = append(l.rows, row{drawn: strings.TrimRight(string(cells), " ")})
	}
	l.to = slices.Delete(l.to, at, at+1)
}

// mark is how an event is drawn.
func mark(node *inspect.Node) string {
	switch {
	case node.Outcome == "rejected":
		return "x"
	case node.Outcome == "soft-failed":
		return "~"
	case len(node.Gaps) > 0:
		return "o"
	}
	return "*"
}

// graphFormats are the ways in which a graph can be printed.
const (
	asText    = "text"
	asMermaid = "mermaid"
	asDot     = "dot"
)

// printGraph prints a graph for people, or for a program that draws it.
func printGraph(o *output, nodes []inspect.Node, format string) error {
	if format == asText {
		return o.print(nodes, func() { showGraph(o, nodes) })
	}
	text := mermaid(nodes)
	if format == asDot {
		text = dot(nodes)
	}
	return o.print(nodes, func() { fmt.Fprint(o.stdout, text) })
}

func showGraph(o *output, nodes []inspect.Node) {
	rows := draw(nodes)
	width := 0
	for _, r := range rows {
		if r.node != nil {
			width = max(width, len(r.drawn))
		}
	}
	for _, r := range rows {
		if r.node == nil {
			fmt.Fprintln(o.stdout, r.drawn)
			continue
		}
		n := r.node
		cells := []string{n.EventID, o.when(n.OriginTS), n.Type, n.Sender}
		if notes := graphNotes(n); notes != "" {
			cells = append(cells, notes)
		}
		fmt.Fprintf(o.stdout, "%-*s  %s\n", width, r.drawn, harmless(strings.Join(cells, "  ")))
	}
}

// graphNotes is what is special about an event.
func graphNotes(n *inspect.Node) string {
	var notes []string
	if n.StateKey != nil {
		notes = append(notes, "state "+strconv.Quote(*n.StateKey))
	}
	if n.Head {
		notes = append(notes, "HEAD")
	}
	if n.Outcome != "accepted" {
		notes = append(notes, strings.ToUpper(n.Outcome))
	}
	if n.Outlier {
		notes = append(notes, "outlier")
	}
	if len(n.Gaps) > 0 {
		notes = append(notes, fmt.Sprintf("GAP below: %d missing", len(n.Gaps)))
	}
	if n.More {
		notes = append(notes, "…")
	}
	return strings.Join(notes, ", ")
}

// mermaid is the graph in the language of mermaid.js, rejected events red and soft-failed ones yellow.
func mermaid(nodes []inspect.Node) string {
	var b strings.Builder
	b.WriteString("flowchart BT\n")
	for i, n := range nodes {
		fmt.Fprintf(&b, "  e%d[\"%s\"]%s\n", i, mermaidText(graphLabel(n)), map[string]string{
			"rejected": ":::rejected", "soft-failed": ":::softfailed",
		}[n.Outcome])
	}
	eachEdge(nodes, func(from, to int) { fmt.Fprintf(&b, "  e%d --> e%d\n", from, to) })
	b.WriteString("  classDef rejected fill:#f99\n  classDef softfailed fill:#fe8\n")
	return b.String()
}

// mermaidText leaves nothing in a label that means something in the language: mermaid.js looks for %%{directives} in strings too.
func mermaidText(s string) string {
	return strings.NewReplacer(`"`, "#quot;", "#", "#35;", "<", "#lt;", ">", "#gt;", "`", "#96;", "%", "#37;").Replace(harmless(s))
}

// dot is the graph in the language of Graphviz.
func dot(nodes []inspect.Node) string {
	var b strings.Builder
	b.WriteString("digraph room {\n  rankdir=BT\n  node [shape=box]\n")
	for i, n := range nodes {
		colour := map[string]string{"rejected": "red", "soft-failed": "yellow"}[n.Outcome]
		if colour != "" {
			colour = ", style=filled, fillcolor=" + colour
		}
		label := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(harmless(graphLabel(n)))
		fmt.Fprintf(&b, "  e%d [label=\"%s\"%s]\n", i, label, colour)
	}
	eachEdge(nodes, func(from, to int) { fmt.Fprintf(&b, "  e%d -> e%d\n", from, to) })
	b.WriteString("}\n")
	return b.String()
}

func graphLabel(n inspect.Node) string {
	label := shortened(n.EventID, 12) + " " + n.Type + " " + n.Sender
	if n.Head {
		label += " HEAD"
	}
	return label
}

func eachEdge(nodes []inspect.Node, do func(from, to int)) {
	index := make(map[ident.EventID]int, len(nodes))
	for i, n := range nodes {
		index[ident.EventID(n.EventID)] = i
	}
	for i, n := range nodes {
		for _, parent := range n.Parents {
			do(i, index[parent])
		}
	}
}
