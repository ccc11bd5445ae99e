// SPDX-License-Identifier: Apache-2.0

package canonicaljson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/transport/canonicaljson"
)

// A Foreign document keeps what has no canonical form, and is otherwise in canonical form.
func TestForeign(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`{"b":1, "a":-0}`, `{"a":0,"b":1}`},
		{`{"b":1.50,"a":{"c":1e5}}`, `{"a":{"c":1e5},"b":1.50}`},
		{`{"a":1,"a":2}`, `{"a":1,"a":2}`},
		{`{"b":0,"a":2,"\u0061":1,"a":3}`, `{"a":2,"a":1,"a":3,"b":0}`},
		{`{"a":"\ud83d"}`, `{"a":"\ud83d"}`},
		{`{"b":"\u0041\uDE00\/","a":"\u0041\/"}`, `{"a":"A/","b":"\u0041\uDE00\/"}`},
		{`{"\ud83d":1,"a":2}`, `{"a":2,"\ud83d":1}`},
		{`["\ud83d\u0041"]`, `["\ud83d\u0041"]`},
	} {
		v, err := canonicaljson.Parse([]byte(tt.in), canonicaljson.Foreign)
		if err != nil || string(v.Canonical()) != tt.want {
			t.Errorf("Parse(%s) = %s, %v, want %s", tt.in, v.Canonical(), err, tt.want)
		}
	}
	for _, in := range []string{`{"a":1,}`, "\"\xff\"", `{"a":01}`, `"\ud83"`, `{} {}`} {
		if v, err := canonicaljson.Parse([]byte(in), canonicaljson.Foreign); err == nil {
			t.Errorf("Parse(%q) = %s", in, v.Canonical())
		}
	}
}

// A piece may be as deep as a document of its own.
func TestForeignDepth(t *testing.T) {
	piece := strings.Repeat("[", canonicaljson.MaxDepth) + strings.Repeat("]", canonicaljson.MaxDepth)
	whole := []byte(`{"pdus":[` + piece + `]}`)
	if _, err := canonicaljson.Parse(whole, canonicaljson.Foreign); err != nil || !json.Valid(whole) { // peers have to read it too
		t.Errorf("%v, valid %t", err, json.Valid(whole))
	}
	around := strings.Repeat("[", 17)
	if _, err := canonicaljson.Parse([]byte(around+piece+strings.Repeat("]", 17)), canonicaljson.Foreign); err == nil {
		t.Error("any depth is accepted")
	}
}
