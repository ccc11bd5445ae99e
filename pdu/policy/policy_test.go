// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/policy"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

func keyOf(t testing.TB, id ident.KeyID, seed byte) signing.Key {
	t.Helper()
	secret := make([]byte, ed25519.SeedSize)
	secret[0] = seed
	key, err := signing.NewKey(id, secret)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func content(t testing.TB, text string) canonicaljson.Value {
	t.Helper()
	v, err := canonicaljson.Parse([]byte(text), canonicaljson.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func message(t testing.TB, v *event.Version, typ string, stateKey *string) *event.Event {
	t.Helper()
	prev := ident.EventID("$p:a.example")
	if v.EventIDFormat != event.IDField {
		prev = "$" + ident.EventID(strings.Repeat("A", 43))
	}
	room := ident.RoomID("!r:a.example")
	if v.HashRoomID {
		room = "!" + ident.RoomID(strings.Repeat("A", 43))
	}
	e, err := event.Build(v, event.Proto{
		RoomID: room, Sender: "@alice:a.example", Type: typ, StateKey: stateKey, Content: []byte(`{"body":"x"}`),
		PrevEvents: []event.Ref{{ID: prev}}, Depth: 2,
	}, "a.example", keyOf(t, "ed25519:1", 1))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEnabled(t *testing.T) {
	for _, test := range []struct {
		content string
		name    ident.ServerName
		ok      bool
	}{
		{`{"via":"p.example","public_keys":{"ed25519":"x"}}`, "p.example", true},
		{`{"via":"p.example:8448","public_keys":{"ed25519":"x","other":1}}`, "p.example:8448", true},
		{`{"via":"p.example"}`, "", false},
		{`{"via":"p.example","public_keys":{}}`, "", false},
		{`{"via":"p.example","public_keys":{"ed25519":1}}`, "", false},
		{`{"via":"p.example","public_key":"x"}`, "", false}, // as it was before the specification took it up
		{`{"via":1,"public_keys":{"ed25519":"x"}}`, "", false},
		{`{"via":"","public_keys":{"ed25519":"x"}}`, "", false},
		{`{"via":"p example","public_keys":{"ed25519":"x"}}`, "", false},
		{`{"public_keys":{"ed25519":"x"}}`, "", false},
		{`{}`, "", false},
	} {
		s, ok := policy.Of(content(t, test.content))
		if ok != test.ok || ok && s.Name != test.name {
			t.Errorf("M-100: %s: %v, %v, want %v, %v", test.content, s.Name, ok, test.name, test.ok)
		}
	}
}

func TestConcerns(t *testing.T) {
	v, _ := event.VersionOf("11")
	empty, other := "", "x"
	for _, test := range []struct {
		typ  string
		key  *string
		want bool
	}{
		{"m.room.policy", &empty, false}, {"m.room.policy", &other, true}, {"m.room.policy", nil, true},
		{"m.room.message", nil, true}, {"m.room.name", &empty, true},
	} {
		if got := policy.Concerns(message(t, v, test.typ, test.key)); got != test.want {
			t.Errorf("M-101: %s: %v, want %v", test.typ, got, test.want)
		}
	}
}

// The signature is over what any event signature is over: the event redacted, without signatures (M-102), so it is computed here
// with the JSON signing of the appendices.
func TestSignature(t *testing.T) {
	policyKey := keyOf(t, policy.KeyID, 2)
	for _, version := range event.Versions() {
		v, _ := event.VersionOf(version)
		for _, via := range []ident.ServerName{"p.example", "a.example"} { // via may be the origin (M-103)
			e := message(t, v, "m.room.message", nil)
			public := signing.EncodeBase64(policyKey.Public())
			server, ok := policy.Of(content(t, fmt.Sprintf(`{"via":%q,"public_keys":{"ed25519":%q}}`, via, public)))
			if !ok {
				t.Fatal("not enabled")
			}
			if err := server.Check(e); !errors.Is(err, policy.ErrUnsigned) {
				t.Errorf("version %s: unsigned: %v", version, err)
			}
			signed, err := signing.SignJSON(e.Redact().JSON(), via, policyKey)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := content(t, string(signed)).Get("signatures").Get(string(via)).Get("ed25519:policy_server").Text()
			answer := fmt.Sprintf(`{%q:{"ed25519:policy_server":%q},"evil.example":{"ed25519:1":"x"}}`, via, text)
			got, err := server.Merge(e, []byte(answer))
			if err != nil {
				t.Fatalf("version %s: %v", version, err)
			}
			if got.ID() != e.ID() {
				t.Errorf("version %s: the id has changed", version)
			}
			if !got.Signatures().Get("a.example").Has("ed25519:1") || !got.Signatures().Get(string(via)).Has("ed25519:policy_server") {
				t.Errorf("M-103: version %s: a signature was lost: %s", version, got.Signatures().Canonical())
			}
			if got.Signatures().Has("evil.example") {
				t.Errorf("version %s: a foreign signature was taken over", version)
			}
			if err := server.Check(got); err != nil {
				t.Errorf("version %s: %v", version, err)
			}
			for _, bad := range []string{
				`{}`, `[]`, `{`, `{"p.example":{}}`, `{"p.example":{"ed25519:policy_server":1}}`, `{"p.example":{"ed25519:policy_server":"AAAA"}}`,
				fmt.Sprintf(`{%q:{"ed25519:1":%q}}`, via, text),
			} {
				if merged, err := server.Merge(e, []byte(bad)); err == nil {
					t.Errorf("%s was taken: %s", bad, merged.JSON())
				}
			}
			other, _ := policy.Of(content(t, fmt.Sprintf(`{"via":%q,"public_keys":{"ed25519":%q}}`, via, signing.EncodeBase64(keyOf(t, policy.KeyID, 3).Public()))))
			if err := other.Check(got); !errors.Is(err, policy.ErrBadSignature) {
				t.Errorf("another key: %v", err)
			}
			noKey, _ := policy.Of(content(t, fmt.Sprintf(`{"via":%q,"public_keys":{"ed25519":"?"}}`, via)))
			if err := noKey.Check(got); !errors.Is(err, policy.ErrBadSignature) {
				t.Errorf("no key: %v", err)
			}
		}
	}
}

func FuzzMerge(f *testing.F) {
	v, _ := event.VersionOf("11")
	e := message(f, v, "m.room.message", nil)
	server, _ := policy.Of(content(f, `{"via":"p.example","public_keys":{"ed25519":"AAAA"}}`))
	f.Add([]byte(`{"p.example":{"ed25519:policy_server":"AAAA"}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if merged, err := server.Merge(e, answer); err == nil {
			t.Errorf("%q: signed by a key that is none: %s", answer, merged.JSON())
		}
	})
}
