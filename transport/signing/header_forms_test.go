// SPDX-License-Identifier: Apache-2.0

package signing_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// every form that RFC 9110 allows for the same four parameters is read alike: any order, any case of names, 1 or more spaces
// after the scheme, blanks around commas, each value as token or quoted, with escapes.
func TestEveryHeaderForm(t *testing.T) {
	want := signing.Credentials{Origin: "a.com:80", Destination: "b.com", Key: "ed25519:k", Signature: "AB/+"}
	values := map[string]string{"origin": "a.com:80", "destination": "b.com", "key": "ed25519:k", "sig": "AB/+"}
	spellings := map[string]func(string) string{
		"bare":    func(s string) string { return s },
		"quoted":  func(s string) string { return `"` + s + `"` },
		"escaped": func(s string) string { return `"` + regexp.MustCompile(`(.)`).ReplaceAllString(s, `\$1`) + `"` },
	}
	cases := []func(string) string{strings.ToLower, strings.ToUpper, func(s string) string { return strings.ToUpper(s[:1]) + s[1:] }}
	n := 0
	for _, order := range permutations([]string{"origin", "destination", "key", "sig"}) {
		for _, spell := range spellings {
			for _, name := range cases {
				for _, scheme := range []string{"X-Matrix ", "x-matrix  \t"} {
					for _, comma := range []string{",", " ,", ", ", "\t,\t ", ",,", " , ,"} {
						var parameters []string
						for _, p := range order {
							parameters = append(parameters, name(p)+"="+spell(values[p]))
						}
						header := scheme + strings.Join(parameters, comma)
						if got, err := signing.ParseAuthorization(header); err != nil || got != want {
							t.Fatalf("%q gives %+v, %v", header, got, err)
						}
						n++
					}
				}
			}
		}
	}
	if n != 24*3*3*2*6 {
		t.Errorf("%d forms", n)
	}
}

func permutations(of []string) (all [][]string) {
	if len(of) == 0 {
		return [][]string{nil}
	}
	for i, first := range of {
		rest := append(append([]string{}, of[:i]...), of[i+1:]...)
		for _, p := range permutations(rest) {
			all = append(all, append([]string{first}, p...))
		}
	}
	return all
}

// The grammar of RFC 9110, sections 5.6 and 11.4, as regular expressions over bytes (each taken for the character of its number), with
// what X-44 adds: outside quotes also values that are no tokens.
const (
	abnfToken  = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
	abnfText   = `[\t \x21\x23-\x5b\x5d-\x7e\x{80}-\x{ff}]`
	abnfPair   = `\\[\t \x21-\x7e\x{80}-\x{ff}]`
	abnfQuoted = `"(?:` + abnfText + `|` + abnfPair + `)*"`
	abnfBare   = `[\x21\x23-\x2b\x2d-\x5b\x5d-\x7e]+` // no quote, comma, backslash
	abnfParam  = `(` + abnfToken + `)[ \t]*=[ \t]*(` + abnfQuoted + `|` + abnfBare + `)`
)

var (
	abnfHeader = regexp.MustCompile(`^(?i:x-matrix) [ \t,]*(?:` + abnfParam + `(?:[ \t]*,[ \t,]*` + abnfParam + `)*)?[ \t,]*$`)
	abnfOne    = regexp.MustCompile(abnfParam)
	abnfEscape = regexp.MustCompile(`(?s)\\(.)`)
)

// referenceParse is an independent parser: the expressions say what is a header, and cut it into parameters.
func referenceParse(header string) (c signing.Credentials, ok bool) {
	const maxHeader = 4096
	runes := make([]rune, 0, len(header))
	for i := range len(header) {
		runes = append(runes, rune(header[i]))
	}
	text := string(runes)
	if len(header) > maxHeader || !abnfHeader.MatchString(text) {
		return c, false
	}
	parameters := map[string]string{}
	for _, m := range abnfOne.FindAllStringSubmatch(text[len("X-Matrix "):], -1) {
		name, value := strings.ToLower(m[1]), m[2]
		if value[0] == '"' {
			value = abnfEscape.ReplaceAllString(value[1:len(value)-1], "$1")
		}
		if _, twice := parameters[name]; twice {
			return c, false
		}
		parameters[name] = value
	}
	c.Signature, ok = parameters["sig"]
	origin, err := ident.ParseServerName(parameters["origin"])
	key, keyErr := ident.ParseKeyID(parameters["key"])
	if !ok || err != nil || keyErr != nil {
		return signing.Credentials{}, false
	}
	if destination, given := parameters["destination"]; given {
		if c.Destination, err = ident.ParseServerName(destination); err != nil {
			return signing.Credentials{}, false
		}
	}
	c.Origin, c.Key = origin, key
	return c, true
}

// Both parsers accept the same headers, and read the same in them.
func FuzzParseAuthorizationAgainstGrammar(f *testing.F) {
	for _, seed := range []string{
		`X-Matrix origin="a.com",destination="b.com",key="ed25519:k",sig="AB/+"`,
		`x-matrix ,origin = a:80 , x="\"," , key=ed25519:k,sig=AA==,`,
		"X-Matrix \torigin=\"a\\.com\"\t,\tKEY=ed25519:k,SIG=\"\\\"\"",
		`X-Matrix origin=a.com,key=ed25519:k,sig=A"B`, `X-Matrix origin=a.com key=ed25519:k,sig=AB`,
		"X-Matrix origin=a,key=ed25519:k,sig=\"\xff\"", "X-Matrix origin=a,key=ed25519:k,sig=\xff", "X-Matrix",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		want, ok := referenceParse(header)
		got, err := signing.ParseAuthorization(header)
		if (err == nil) != ok {
			t.Fatalf("%q: %v, by the grammar it is good: %v", header, err, ok)
		}
		latin := ""
		for i := range len(got.Signature) {
			latin += string(rune(got.Signature[i]))
		}
		if got.Signature = latin; ok && got != want {
			t.Errorf("%q: got %+v, want %+v", header, got, want)
		}
	})
}
