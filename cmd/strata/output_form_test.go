// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// item is a row as commands have them, with a number that no float64 holds and words that somebody else chose.
type item struct {
	Name     string   `json:"name"`
	Position int64    `json:"position"`
	Tags     []string `json:"tags"`
}

func TestForms(t *testing.T) {
	items := []item{{"a: b # c", 9007199254740993, []string{"x", "\x1b[2J"}}, {"<&>\u0085", 2, nil}}
	for name, test := range map[string]struct {
		flags outputFlags
		value any
		want  string
	}{
		"json": {outputFlags{Output: "json"}, items,
			`[{"name":"a: b # c","position":9007199254740993,"tags":["x","\u001b[2J"]},{"name":"<&>\u0085","position":2,"tags":null}]` + "\n"},
		"ndjson": {outputFlags{Output: "ndjson"}, items,
			`{"name":"a: b # c","position":9007199254740993,"tags":["x","\u001b[2J"]}` + "\n" + `{"name":"<&>\u0085","position":2,"tags":null}` + "\n"},
		"ndjson of one":    {outputFlags{Output: "ndjson"}, items[1], `{"name":"<&>\u0085","position":2,"tags":null}` + "\n"},
		"ndjson of fields": {outputFlags{Output: "ndjson", JSON: jsonFlag{true, []string{"position"}}}, items, "{\"position\":9007199254740993}\n{\"position\":2}\n"},
		"yaml": {outputFlags{Output: "yaml"}, items, `-
  "name": "a: b # c"
  "position": 9007199254740993
  "tags":
    - "x"
    - "\u001b[2J"
-
  "name": "<&>\u0085"
  "position": 2
  "tags": null
`},
		"yaml of nothing": {outputFlags{Output: "yaml"}, []item{}, "[]\n"},
		"jq":              {outputFlags{JQ: ".[].position"}, items, "9007199254740993\n2\n"},
		"jq of texts":     {outputFlags{JQ: ".[].name"}, items, "a: b # c\n<&>\\u0085\n"},
		"jq after fields": {outputFlags{JQ: "map(keys) | .[0]", JSON: jsonFlag{true, []string{"name"}}}, items, `["name"]` + "\n"},
		"jq of nothing":   {outputFlags{JQ: ".[] | select(.position == 3)"}, items, ""},
	} {
		var stdout bytes.Buffer
		o := newOutput(&stdout, &stdout, false)
		err := o.configure(test.flags, nil)
		if err == nil {
			err = o.print(test.value, func() { t.Errorf("%s: printed for people", name) })
		}
		if diff := cmp.Diff(test.want, stdout.String()); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got)\n%s", name, err, diff)
		}
	}
}

func TestFormsThatContradict(t *testing.T) {
	for _, args := range [][]string{
		{"version", "-o", "xml"}, {"version", "--jq", "."[:1] + "a b("}, {"version", "--jq", ".", "-o", "yaml"}, {"version", "--json", "-o", "table"},
		{"version", "--jq", ".", "-o", "table"}, {"version", "--jq", ".go | error"}, {"version", "--jq", ".go + 1"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, nil, &stdout, &stderr); code != 2 || stdout.Len() > 0 {
			t.Errorf("%v: exit code %d, %s%s", args, code, &stdout, &stderr)
		}
	}
}

// Every command says whether it changes something, and none that does runs when it is told not to.
func TestReadOnly(t *testing.T) {
	for _, leaf := range leaves(t) {
		ro, rw := strings.Contains(leaf.Help, string(readOnly)), strings.Contains(leaf.Help, string(readWrite))
		if ro == rw {
			t.Errorf("%s: its help says neither (ro) nor (rw), or both: %s", leaf.FullPath(), leaf.Help)
		}
	}
	for _, test := range []struct {
		args, environ []string
		refused       bool
	}{
		{[]string{"send", "!a:b", "x", "--as", "alice", "--readonly"}, nil, true},
		{[]string{"send", "!a:b", "x", "--as", "alice"}, []string{"STRATA_READONLY=1"}, true},
		{[]string{"room", "ls", "--readonly"}, nil, false},
		{[]string{"version", "--readonly"}, nil, false},
	} {
		var stdout, stderr bytes.Buffer
		args := test.args
		if args[0] != "version" {
			args = append(args, "--socket", t.TempDir()+"/none")
		}
		run(t.Context(), args, test.environ, &stdout, &stderr)
		if got := strings.Contains(stderr.String(), "changes something"); got != test.refused {
			t.Errorf("%v %v: %s", args, test.environ, &stderr)
		}
	}
}

// When the arguments make no sense, it is still seen who reads the error.
func TestIsForProgram(t *testing.T) {
	for line, want := range map[string]bool{
		"room ls --json": true, "room ls --json=a": true, "room ls --jq .": true, "room ls -o yaml": true, "room ls --output=ndjson": true,
		"room ls -o table": false, "room ls": false, "send !a -- --json": false, "room ls --output table": false,
	} {
		if got := isForProgram(strings.Fields(line)); got != want {
			t.Errorf("%s: %t, want %t", line, got, want)
		}
	}
}
