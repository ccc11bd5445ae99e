// SPDX-License-Identifier: Apache-2.0

package canonicaljson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/strata-matrix/strata/transport/canonicaljson"
)

// FuzzParse: the canonical form is a fixed point of parsing; what is accepted is JSON to encoding/json too and means the same;
// what is refused is refused there too, or for a reason that encoding/json does not have.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"b":[1,2.5,-0,1e5],"a":{"d":"\u00e9\ud83d\ude00\n\/","c":null}}`, `{"a":1,"\u0061":2}`, `"\ud83d"`, `[[[{}]]]`, " 1 ",
		`{"\n":1,"a\"":true,"":false}`, `[9007199254740992,"\u001f"]`, "\"\xff\"", `{"x\":1,\"y":2}`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, src []byte, strict bool) {
		rules := canonicaljson.Lenient
		if strict {
			rules = canonicaljson.Strict
		}
		v, err := canonicaljson.Parse(src, rules)
		foreign(t, src, v.Canonical())
		if err != nil {
			checkRefusal(t, src, err)
			return
		}
		canonical := v.Canonical()
		again, err := canonicaljson.Parse(canonical, rules)
		if err != nil || !bytes.Equal(again.Canonical(), canonical) {
			t.Errorf("%q is canonical as %q, and that as %q, %v", src, canonical, again.Canonical(), err)
		}
		if got, want := meaning(t, canonical), meaning(t, src); got != want {
			t.Errorf("%q means %q, its canonical form %q %q", src, want, canonical, got)
		}
		walk(t, v)
		if v.Kind() == canonicaljson.Object {
			without := v.AppendExcept(nil, v.Get("a"), v.Get("b"))
			if !json.Valid(without) || !bytes.Equal(v.Without("b", "a").Canonical(), without) {
				t.Errorf("%q without a and b: %q", canonical, without)
			}
		}
	})
}

// FuzzParseWithout: to leave members out while parsing is to leave them out afterwards, but that more is accepted: what the rules
// have against their values does not count.
func FuzzParseWithout(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1],"b":{"c":2},"d":3}`, `{"b":1.5,"a":-0}`, `{"\u0062":{"c":1,"c":"\ud83d"}, "a":{"b":1}}`, `{"b":1,"b":2}`, `{"b":[`, `["b"]`,
	} {
		f.Add([]byte(seed), false)
		f.Add([]byte(seed), true)
	}
	f.Fuzz(func(t *testing.T, src []byte, strict bool) {
		rules := canonicaljson.Lenient
		if strict {
			rules = canonicaljson.Strict
		}
		got, err := canonicaljson.ParseWithout(src, rules, "b")
		whole, refused := canonicaljson.Parse(src, rules)
		if refused == nil && whole.Kind() == canonicaljson.Object {
			if want := whole.AppendExcept(nil, whole.Get("b")); err != nil || !bytes.Equal(got.Canonical(), want) {
				t.Errorf("%q without b: %q, %v, want %q", src, got.Canonical(), err, want)
			}
		}
		if err != nil {
			return
		}
		again, err := canonicaljson.Parse(got.Canonical(), rules)
		if err != nil || !bytes.Equal(again.Canonical(), got.Canonical()) || got.Has("b") || !json.Valid(src) || !utf8.Valid(src) {
			t.Errorf("%q without b: %q, and that reads as %q, %v", src, got.Canonical(), again.Canonical(), err)
		}
		walk(t, got)
	})
}

// foreign holds the Foreign form of a source against its canonical form, nil when it has none.
func foreign(t *testing.T, src, canonical []byte) {
	v, err := canonicaljson.Parse(src, canonicaljson.Foreign)
	if (err == nil) != (json.Valid(src) && utf8.Valid(src)) && !strings.Contains(err.Error(), "deeper") {
		t.Errorf("%q: Foreign: %v", src, err)
	}
	if err != nil {
		return
	}
	if canonical != nil && !bytes.Equal(v.Canonical(), canonical) {
		t.Errorf("%q is Foreign as %q, canonical as %q", src, v.Canonical(), canonical)
	}
	again, err := canonicaljson.Parse(v.Canonical(), canonicaljson.Foreign)
	if err != nil || !bytes.Equal(again.Canonical(), v.Canonical()) {
		t.Errorf("%q is Foreign as %q, and that as %q, %v", src, v.Canonical(), again.Canonical(), err)
	}
	pieces := v.Elements()
	if v.Kind() == canonicaljson.Object {
		pieces = func(yield func(canonicaljson.Value) bool) {
			for _, member := range v.Members() {
				if !yield(member) {
					return
				}
			}
		}
	}
	for piece := range pieces { // spans of the canonical text, whole
		if !json.Valid(piece.Canonical()) {
			t.Errorf("%q has the piece %q", src, piece.Canonical())
		}
	}
}

// FuzzOutline: the outline recognises exactly the sources that the scanner, which reads every spelling, writes as they are.
func FuzzOutline(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,{"b":"c"}],"d":{}}`, `{"b":1,"a":2}`, `{"a":1,"a":2}`, `{"":1,"!":2}`, `{"!":1,"":2}`, `{"\n":1," ":2}`, `{"\\":1,"a":2}`, `{"Z":1,"\\":2}`,
		`["\u001f","\u001F","\/","\u0041"]`, "[\"\xff\"]", "[\"\u00e9\"]", "[\"\x7f\"]", "[1,\t2]", `[-0]`, `[1.5,1e3]`, `[9007199254740992]`, `[]]`, `{"a":1}]`, `[1}`,
		`{"ab":1,"a":2}`, `{"a":1,"ab":2}`, `"\ud83d"`, `"\ud83d\u0041"`, `{"\ud83d":1,"\udfff":2}`, `[tru]`, `{"a"`, `{"a":`, `[[`, `{"a":[1],"b":{"c":1},"d":0}`,
	} {
		for number := range uint8(3) {
			f.Add([]byte(seed), number)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte, number uint8) {
		rules := []canonicaljson.Rules{canonicaljson.Lenient, canonicaljson.Strict, canonicaljson.Foreign}[number%3]
		v, err := canonicaljson.Over(src, rules)
		canonical, refused := canonicaljson.Rewrite(src, rules)
		if want := refused == nil && bytes.Equal(canonical, src); (err == nil) != want {
			t.Fatalf("%q: outline %v; the scanner makes %q of it, %v", src, err, canonical, refused)
		}
		if refused == nil {
			if again, err := canonicaljson.Over(canonical, rules); err != nil || !bytes.Equal(again.Canonical(), canonical) {
				t.Fatalf("%q is written as %q, which has no outline: %v", src, canonical, err)
			}
		}
		if err == nil && rules != canonicaljson.Foreign {
			walk(t, v)
		}
	})
}

func checkRefusal(t *testing.T, src []byte, err error) {
	var syntax *canonicaljson.SyntaxError
	if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(src) {
		t.Errorf("%q: %v", src, err)
		return
	}
	if !json.Valid(src) || !utf8.Valid(src) {
		return
	}
	for _, ours := range []string{"duplicate key", "lone surrogate", "fraction", "negative zero", "outside ±(2^53−1)"} {
		if strings.Contains(syntax.Reason, ours) {
			return
		}
	}
	t.Errorf("%q is JSON to encoding/json: %v", src, err)
}

// meaning is what encoding/json reads from src, digits as they are but for "-0".
func meaning(t *testing.T, src []byte) string {
	decoder := json.NewDecoder(bytes.NewReader(src))
	decoder.UseNumber()
	var tree any
	if err := decoder.Decode(&tree); err != nil {
		t.Fatalf("%q: %v", src, err)
	}
	out, err := json.Marshal(positive(tree))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func positive(tree any) any {
	switch v := tree.(type) {
	case json.Number:
		if v == "-0" {
			return json.Number("0")
		}
	case []any:
		for i := range v {
			v[i] = positive(v[i])
		}
	case map[string]any:
		for key := range v {
			v[key] = positive(v[key])
		}
	}
	return tree
}

// walk reads every value in every way, and finds each member by its key.
func walk(t *testing.T, v canonicaljson.Value) {
	if text, ok := v.Text(); ok && (!v.IsText(text) || !bytes.Equal(canonicaljson.AppendString(nil, text), v.Canonical())) {
		t.Errorf("the text of %q is %q", v.Canonical(), text)
	}
	for key, member := range v.Members() {
		if got := v.Get(key); got != member {
			t.Errorf("member %q of %q is not found", key, v.Canonical())
		}
		walk(t, member)
	}
	for element := range v.Elements() {
		walk(t, element)
	}
}
