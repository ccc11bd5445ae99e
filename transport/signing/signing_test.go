// SPDX-License-Identifier: Apache-2.0

package signing_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// recorded is what Synapse's libraries made of fixed inputs; testdata/synapse.py tells how.
type recorded struct {
	Objects []struct {
		Input, Server, Key, Seed, Public, Signed string
	}
	Requests []struct {
		Method, URI, Origin, Destination string
		Content                          *string
		Key, Seed, Signature, Header     string
	}
}

func loadRecorded(t *testing.T) recorded {
	t.Helper()
	content, err := os.ReadFile("testdata/synapse.json")
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	if err := json.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func mustKey(t testing.TB, id, seed string) signing.Key {
	t.Helper()
	raw, err := signing.DecodeBase64(seed)
	if err != nil {
		t.Fatal(err)
	}
	key, err := signing.NewKey(ident.KeyID(id), raw)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// specSeed is the signing key of the appendices, "Cryptographic Test Vectors" (V-01).
const specSeed = "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1"

func specKey(t testing.TB) signing.Key { return mustKey(t, "ed25519:1", specSeed) }
