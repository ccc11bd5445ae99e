// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHarmless(t *testing.T) {
	for _, test := range []struct{ in, want string }{
		{"tea room ☕", "tea room ☕"},
		{"a\tb\nc", `a\u0009b\u000ac`},
		{"\x1b[2Jgone", `\u001b[2Jgone`},
		{"\u009b2J", `\u009b2J`},
		{"abc\u202Egpj.exe", `abc\u202egpj.exe`},
		{"\xff", "\uFFFD"},
	} {
		if got := harmless(test.in); got != test.want {
			t.Errorf("harmless(%q) = %q, want %q", test.in, got, test.want)
		}
	}
}

func TestTable(t *testing.T) {
	head, rows := []string{"ROOM", "N"}, [][]string{{"!a", "1"}, {"!übung", "22"}, {"x\ty", "3"}}
	for _, test := range []struct {
		terminal, colour bool
		want             string
	}{
		{false, false, "!a\t1\n!übung\t22\nx\\u0009y\t3\n"},
		{true, false, "ROOM      N\n!a        1\n!übung    22\nx\\u0009y  3\n"},
		{true, true, "\x1b[1mROOM      N\n\x1b[0m!a        1\n!übung    22\nx\\u0009y  3\n"},
	} {
		var stdout bytes.Buffer
		o := &output{stdout: &stdout, terminal: test.terminal, colour: test.colour}
		o.table(head, rows)
		if diff := cmp.Diff(test.want, stdout.String()); diff != "" {
			t.Errorf("terminal %v, colour %v (-want +got):\n%s", test.terminal, test.colour, diff)
		}
	}
}

// A terminal must not obey what JSON strings hold: ECMA-48 has control characters beyond those that JSON escapes.
func TestJSONHoldsNoControlCharacters(t *testing.T) {
	var stdout bytes.Buffer
	o := &output{stdout: &stdout, json: true}
	if err := o.print(map[string]string{"body": "\x1b[2J\u009b2J\x7f<b>"}, nil); err != nil {
		t.Fatal(err)
	}
	want := `{"body":"\u001b[2J\u009b2J\u007f<b>"}` + "\n"
	if got := stdout.String(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSelectFields(t *testing.T) {
	type inner struct {
		A int    `json:"a"`
		B string `json:"b,omitempty"`
	}
	type outer struct {
		inner
		C []int `json:"c"`
	}
	for _, test := range []struct {
		value  any
		fields []string
		want   string
	}{
		{outer{inner{1, ""}, []int{2}}, []string{"b", "c"}, `{"b":null,"c":[2]}`},
		{[]outer{{inner{1, "x"}, nil}, {}}, []string{"a"}, `[{"a":1},{"a":0}]`},
		{[]outer{}, []string{"a"}, `[]`},
	} {
		selected, err := selectFields(test.value, test.fields)
		if err != nil {
			t.Errorf("%v of %+v: %v", test.fields, test.value, err)
			continue
		}
		got, err := json.Marshal(selected)
		if err != nil || string(got) != test.want {
			t.Errorf("%v of %+v: %s, %v; want %s", test.fields, test.value, got, err, test.want)
		}
	}
	if _, err := selectFields(outer{}, []string{"d"}); err == nil {
		t.Error("a field that does not exist was accepted")
	}
}
