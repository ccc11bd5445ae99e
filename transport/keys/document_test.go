// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// newKey makes a key whose seed is the digest of its id.
func newKey(t testing.TB, id ident.KeyID) signing.Key {
	t.Helper()
	seed := sha256.Sum256([]byte(id))
	key, err := signing.NewKey(id, seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// sign makes a document of the given members, signed with the keys.
func sign(t testing.TB, server ident.ServerName, members map[string]any, keys ...signing.Key) []byte {
	t.Helper()
	raw, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if raw, err = signing.SignJSON(raw, server, key); err != nil {
			t.Fatal(err)
		}
	}
	return raw
}

// members of a document with these current keys.
func members(server ident.ServerName, validUntil int64, current ...signing.Key) map[string]any {
	verify := make(map[string]any)
	for _, key := range current {
		verify[string(key.ID)] = map[string]any{"key": signing.EncodeBase64(key.Public())}
	}
	return map[string]any{"server_name": server, "valid_until_ts": validUntil, "verify_keys": verify}
}

func recordedDocuments(t testing.TB) (docs []struct{ Server, Document string }) {
	t.Helper()
	content, err := os.ReadFile("testdata/documents.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct {
		Documents []struct{ Server, Document string }
	}
	if err := json.Unmarshal(content, &recorded); err != nil {
		t.Fatal(err)
	}
	return recorded.Documents
}

// recordedKeys are the two keys of testdata/documents.py.
func recordedKeys(t testing.TB) (k1, k2 signing.Key) {
	t.Helper()
	k1, err := signing.ParseKeyLine("ed25519 1 YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1")
	if err != nil {
		t.Fatal(err)
	}
	seed := sha256.Sum256([]byte("second"))
	k2, err = signing.NewKey("ed25519:a_Q2x9", seed[:])
	if err != nil {
		t.Fatal(err)
	}
	return k1, k2
}

// documents as Synapse signs them.
func TestParseDocument(t *testing.T) {
	k1, k2 := recordedKeys(t)
	recorded := recordedDocuments(t)
	const fetched = 1_700_000_000_000
	for i, want := range []*Document{
		{
			Server: "origin.example", FetchedAt: fetched, ValidUntil: 1700086400000,
			Current: map[ident.KeyID]ed25519.PublicKey{k2.ID: k2.Public()},
			Old:     map[ident.KeyID]OldKey{},
		}, {
			Server: "origin.example", FetchedAt: fetched, ValidUntil: 1700086400000,
			Current: map[ident.KeyID]ed25519.PublicKey{k1.ID: k1.Public()},
			Old:     map[ident.KeyID]OldKey{k2.ID: {ID: k2.ID, Public: k2.Public(), ExpiredAt: 1700000000000}},
		}, {
			Server: "two.example:8448", FetchedAt: fetched, ValidUntil: 1700086400000,
			Current: map[ident.KeyID]ed25519.PublicKey{k1.ID: k1.Public(), k2.ID: k2.Public()},
			Old:     map[ident.KeyID]OldKey{},
		},
	} {
		got, err := ParseDocument(want.Server, []byte(recorded[i].Document), fetched)
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("document %d (-want +got):\n%s", i, diff)
		}
	}
}

// Keys that cannot be used are left out and do no harm (G-C5).
func TestParseDocumentIgnoresOddKeys(t *testing.T) {
	good := newKey(t, "ed25519:good")
	m := members("a.example", 1, good)
	verify := m["verify_keys"].(map[string]any)
	verify["ed25519:short"] = map[string]any{"key": "AAAA"}
	verify["rsa:1"] = verify["ed25519:good"]
	verify["ed25519:a-b"] = verify["ed25519:good"]
	verify["ed25519:"+strings.Repeat("x", 200)] = verify["ed25519:good"]
	verify["ed25519:none"] = map[string]any{}
	verify["ed25519:list"] = []any{1}
	m["old_verify_keys"] = map[string]any{
		"ed25519:short":   map[string]any{"key": "AAAA", "expired_ts": 5},
		"ed25519:undated": map[string]any{"key": signing.EncodeBase64(good.Public())},
		"ed25519:odd":     map[string]any{"key": signing.EncodeBase64(good.Public()), "expired_ts": "5"},
		"ed25519:padded":  map[string]any{"key": signing.EncodeBase64(good.Public()) + "=", "expired_ts": 5},
	}
	got, err := ParseDocument("a.example", sign(t, "a.example", m, good), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := &Document{
		Server: "a.example", ValidUntil: 1,
		Current: map[ident.KeyID]ed25519.PublicKey{good.ID: good.Public()},
		Old:     map[ident.KeyID]OldKey{"ed25519:padded": {ID: "ed25519:padded", Public: good.Public(), ExpiredAt: 5}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseDocumentRefuses(t *testing.T) {
	a, b, stranger := newKey(t, "ed25519:a"), newKey(t, "ed25519:b"), newKey(t, "ed25519:stranger")
	const server = "a.example"
	many := members(server, 1, a)
	for i := range maxKeys {
		many["verify_keys"].(map[string]any)[fmt.Sprintf("ed25519:%d", i)] = map[string]any{}
	}
	undated := members(server, 1, a)
	delete(undated, "valid_until_ts")
	floating := members(server, 1, a)
	floating["valid_until_ts"] = 1.5
	badSecond := sign(t, server, members(server, 1, a, b), a)
	badSecond, err := signing.SignJSON(badSecond, server, signing.Key{ID: b.ID, Private: stranger.Private})
	if err != nil {
		t.Fatal(err)
	}
	huge := members(server, 1, a)
	huge["x"] = strings.Repeat("x", maxDocument)
	oldOnly := members(server, 1)
	oldOnly["old_verify_keys"] = map[string]any{"ed25519:a": map[string]any{"key": signing.EncodeBase64(a.Public()), "expired_ts": 5}}
	for name, raw := range map[string][]byte{
		"empty":                      nil,
		"not an object":              []byte(`[]`),
		"null":                       []byte(`null`),
		"duplicate member":           []byte(`{"server_name":"a.example","server_name":"a.example"}`),
		"X-51: another server's":     sign(t, server, members("b.example", 1, a), a),
		"X-51: unsigned":             sign(t, server, members(server, 1, a)),
		"signed as another":          sign(t, "b.example", members(server, 1, a), a),
		"signed by a stranger":       sign(t, server, members(server, 1, a), stranger),
		"stranger under our key id":  sign(t, server, members(server, 1, a), signing.Key{ID: a.ID, Private: stranger.Private}),
		"one good and one bad":       badSecond,
		"signed by an old key only":  sign(t, server, oldOnly, a),
		"no keys":                    sign(t, server, members(server, 1), a),
		"no valid_until_ts":          sign(t, server, undated, a),
		"valid_until_ts not integer": sign(t, server, floating, a),
		"too many keys":              sign(t, server, many, a),
		"too long":                   sign(t, server, huge, a),
	} {
		if got, err := ParseDocument(server, raw, 0); !errors.Is(err, ErrDocument) {
			t.Errorf("%s: %v, %v, want ErrDocument", name, got, err)
		}
	}
}

// min(valid_until_ts, now + 7 days).
func TestDocumentValidity(t *testing.T) {
	const week = 7 * 24 * int64(time.Hour/time.Millisecond)
	for _, tt := range []struct{ fetched, until, want int64 }{
		{1000, 5000, 5000},
		{1000, 1000 + week, 1000 + week},
		{1000, 1001 + week, 1000 + week},
		{1000, 1<<53 - 1, 1000 + week},
		{1000, -1 << 53, -1 << 53},
	} {
		if got := (&Document{FetchedAt: tt.fetched, ValidUntil: tt.until}).Validity(); got != tt.want {
			t.Errorf("valid until %d, fetched at %d: %d, want %d", tt.until, tt.fetched, got, tt.want)
		}
	}
}

// Nothing in a document, signed or not, can break what comes after.
func FuzzParseDocument(f *testing.F) {
	for _, d := range recordedDocuments(f) {
		f.Add([]byte(d.Document))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		trusted, verifyErr := ParseDocument("origin.example", raw, 1000)
		doc, err := ReadDocument("origin.example", raw, 1000)
		if err != nil {
			if verifyErr == nil {
				t.Errorf("trusted but unreadable: %v", err)
			}
			return
		}
		if verifyErr == nil && !trusted.equal(doc) {
			t.Error("verifying changes the meaning")
		}
		if len(doc.Current)+len(doc.Old) > maxKeys || doc.Validity() > 1000+week {
			t.Errorf("%d keys, valid until %d", len(doc.Current)+len(doc.Old), doc.Validity())
		}
		h, _ := history{}.add(doc)
		for id, public := range doc.Current {
			if len(public) != ed25519.PublicKeySize || !strings.HasPrefix(string(id), "ed25519:") {
				t.Errorf("key %s of %d bytes", id, len(public))
			}
			h.judge(Query{KeyID: id, At: 1, Use: ForEvent}, 1)
		}
		if _, changed := h.add(doc); changed {
			t.Error("the same document again is a change")
		}
	})
}
