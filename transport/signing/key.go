// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/strata-matrix/strata/transport/ident"
)

// pemType is the block type of Dendrite's key files; the header keyIDHeader holds the key id.
const (
	pemType     = "MATRIX PRIVATE KEY"
	keyIDHeader = "Key-ID"
)

// Key is a server's own signing key. Its zero value is of no use.
type Key struct {
	ID      ident.KeyID // "ed25519:a_AbCd"
	Private ed25519.PrivateKey
}

// Signer has the key that signs now; which one that is can change while a server runs. A Key is its own Signer.
type Signer interface{ SigningKey() Key }

// SigningKey implements Signer.
func (k Key) SigningKey() Key { return k }

// GenerateKey makes a new random key with a random id of the form that Synapse gives, "ed25519:a_" and four characters.
func GenerateKey() (Key, error) {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed) // never fails: crypto/rand ends the program instead
	return NewKey(ident.KeyID(Algorithm+":a_"+rand.Text()[:4]), seed)
}

// NewKey makes the key of a 32-byte seed. The id must be that of an Ed25519 key.
func NewKey(id ident.KeyID, seed []byte) (Key, error) {
	id, err := ident.ParseKeyID(string(id))
	if err != nil {
		return Key{}, err
	}
	if !strings.HasPrefix(string(id), Algorithm+":") {
		return Key{}, fmt.Errorf("key %s: not an %s key", id, Algorithm)
	}
	if len(seed) != ed25519.SeedSize {
		return Key{}, fmt.Errorf("key %s: seed of %d bytes, want %d", id, len(seed), ed25519.SeedSize)
	}
	return Key{ID: id, Private: ed25519.NewKeyFromSeed(seed)}, nil
}

// Public is the key that others verify with.
func (k Key) Public() ed25519.PublicKey {
	return ed25519.PublicKey(k.Private[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}

// Line is the key file's one line, without line break: "ed25519 a_AbCd <seed in base64>". It is the secret itself.
func (k Key) Line() string {
	algorithm, version, _ := strings.Cut(string(k.ID), ":")
	return algorithm + " " + version + " " + EncodeBase64(k.Private.Seed())
}

// String names the key without giving its secret away, whatever verb it is printed with.
func (k Key) String() string { return string(k.ID) }

// GoString is String, for %#v.
func (k Key) GoString() string { return k.String() }

// ParseKeyLine reads the form that Line writes, which is also Synapse's.
func ParseKeyLine(line string) (Key, error) {
	fields := strings.Fields(line)
	if len(fields) != 3 {
		return Key{}, fmt.Errorf("key line: %d words, want algorithm, version and seed", len(fields))
	}
	seed, err := DecodeBase64(fields[2])
	if err != nil {
		return Key{}, errors.New("key line: seed is not base64") // the cause would quote the secret
	}
	return NewKey(ident.KeyID(fields[0]+":"+fields[1]), seed)
}

// ParseKeyPEM reads the PEM block in which Dendrite keeps its key.
func ParseKeyPEM(content []byte) (Key, error) {
	block, rest := pem.Decode(content)
	switch {
	case block == nil:
		return Key{}, errors.New("damaged PEM block")
	case block.Type != pemType:
		return Key{}, fmt.Errorf("PEM block is a %q, want %q", block.Type, pemType)
	case len(bytes.TrimSpace(rest)) > 0:
		return Key{}, errors.New("something follows the PEM block")
	}
	return NewKey(ident.KeyID(block.Headers[keyIDHeader]), block.Bytes)
}
