// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"bytes"
	"context"
	"encoding/hex"
	"strings"
	"testing"
)

// The vector is of the reference implementation's tests (phc-winner-argon2, test.c: Argon2id, version 19).
func TestPasswordVector(t *testing.T) {
	const hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	p := NewPasswords(CheapCost())
	for password, want := range map[string]bool{"password": true, "Password": false} {
		if got, err := p.Check(t.Context(), hash, password); err != nil || got != want {
			t.Errorf("%q: %t, %v", password, got, err)
		}
	}
}

func TestPasswords(t *testing.T) {
	p := NewPasswords(CheapCost())
	hash, err := p.Hash(t.Context(), "pässword")
	if err != nil || !strings.HasPrefix(hash, "$argon2id$v=19$m=8,t=1,p=1$") {
		t.Fatalf("%q, %v", hash, err)
	}
	again, err := p.Hash(t.Context(), "pässword")
	if err != nil || again == hash {
		t.Errorf("two users of one password have one hash: %q, %v", again, err)
	}
	for _, c := range []struct {
		hash, password string
		want           bool
	}{{hash, "pässword", true}, {again, "pässword", true}, {hash, "passwort", false}, {hash, "", false}, {"", "pässword", false}, {"", "", false}} {
		if got, err := p.Check(t.Context(), c.hash, c.password); err != nil || got != c.want {
			t.Errorf("%q of %q: %t, %v", c.password, c.hash, got, err)
		}
	}
	// A later server that takes more trouble still knows what was set before.
	if got, err := NewPasswords(Cost{Memory: 64, Passes: 2}).Check(t.Context(), hash, "pässword"); err != nil || !got {
		t.Errorf("under another cost: %t, %v", got, err)
	}
}

// Whoever waits for a place to hash and goes away leaves.
func TestHashingIsBounded(t *testing.T) {
	p := NewPasswords(CheapCost())
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Hash(ctx, "x"); err == nil {
		t.Error("more were hashed at a time than there are processors")
	}
}

// FuzzParseStored: what is accepted asks for no more than the limits, and is written back as it was.
func FuzzParseStored(f *testing.F) {
	f.Add("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$argon2id$v=19$m=4294967295,t=2,p=1$$")
	f.Add("$2b$12$abc")
	f.Fuzz(func(t *testing.T, text string) {
		cost, salt, key, err := parseStored(text)
		if err != nil {
			return
		}
		if cost.Memory > maxMemory || cost.Passes > maxPasses || len(key) != hashSize {
			t.Errorf("%q: %+v", text, cost)
		}
		again, salt2, key2, err := parseStored(stored(cost, salt, key))
		if err != nil || again != cost || !bytes.Equal(salt, salt2) || !bytes.Equal(key, key2) {
			t.Errorf("%q is not read back: %v", text, err)
		}
	})
}

// The MACs are Python's hmac of what Synapse's admin API, "Shared-Secret Registration", says.
func TestSecretMAC(t *testing.T) {
	for _, c := range []struct {
		admin    bool
		userType string
		want     string
	}{
		{false, "", "c9d4f3f1b947e226429ca1d6bf30c2c6b837e1cb"},
		{true, "", "7ccb7f0defd5a1c43ec81345c0ab7f6f8dda55e5"},
		{false, "bot", "2120517272e455e293f0f1202d993baec0f89572"},
	} {
		if got := hex.EncodeToString(secretMAC("sesame", "thisisanonce", "pepper", "passé", c.admin, c.userType)); got != c.want {
			t.Errorf("admin %t, type %q: %s, want %s", c.admin, c.userType, got, c.want)
		}
	}
}
