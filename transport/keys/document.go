// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// MaxValidity is how long a document counts after it was received, whatever it says itself: who stole a key must not be
// able to make it last.
const MaxValidity = 7 * 24 * time.Hour

// Limits of a peer's document. A server has one or two current keys and seldom more than a few old ones.
const (
	maxDocument    = 64 << 10 // bytes
	maxKeys        = 128      // current and old ones together
	maxKeyIDLength = 128      // bytes; longer ids are ignored
)

// ErrDocument is wrapped by every error of ParseDocument: the server's answer is not a key document that can be trusted.
var ErrDocument = errors.New("bad key document")

// Document is one key document of a server. It does not change.
type Document struct {
	Server     ident.ServerName
	FetchedAt  int64                             // ms; when we received it
	ValidUntil int64                             // ms; as the document says, see Validity
	Current    map[ident.KeyID]ed25519.PublicKey // verify_keys
	Old        map[ident.KeyID]OldKey            // old_verify_keys
}

// OldKey is a retired key: it verifies events up to ExpiredAt and no requests.
type OldKey struct {
	ID        ident.KeyID
	Public    ed25519.PublicKey
	ExpiredAt int64 // ms, expired_ts
}

// Validity is the time up to which the document's current keys count: the lesser of what it says and seven days after it was
// received. In ms.
func (d *Document) Validity() int64 {
	return min(d.ValidUntil, d.FetchedAt+MaxValidity.Milliseconds())
}

// ParseDocument reads the answer of a server to a request for its keys, received at fetchedAt (ms). It is trusted only if it names
// the server and one of its own current keys has signed it; a signature by any other of them must be good too. Keys of
// other algorithms or of the wrong length are left out (G-C5).
func ParseDocument(server ident.ServerName, raw []byte, fetchedAt int64) (*Document, error) {
	doc, err := ReadDocument(server, raw, fetchedAt)
	if err == nil {
		err = doc.verify(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("%w of %s: %w", ErrDocument, server, err)
	}
	return doc, nil
}

// ReadDocument parses without verifying, as is right for what comes from the store, or is to be looked at.
func ReadDocument(server ident.ServerName, raw []byte, fetchedAt int64) (*Document, error) {
	if len(raw) > maxDocument {
		return nil, fmt.Errorf("%d bytes, at most %d are allowed", len(raw), maxDocument)
	}
	root, err := canonicaljson.Parse(raw, canonicaljson.Lenient)
	if err != nil {
		return nil, err
	}
	if name, _ := root.Get("server_name").Text(); name != string(server) {
		return nil, fmt.Errorf("server_name is %q", name)
	}
	validUntil, ok := root.Get("valid_until_ts").Int()
	if !ok {
		return nil, errors.New("no valid_until_ts")
	}
	current, old := root.Get("verify_keys"), root.Get("old_verify_keys")
	if n := current.Len() + old.Len(); n > maxKeys {
		return nil, fmt.Errorf("%d keys, at most %d are allowed", n, maxKeys)
	}
	return &Document{
		Server: server, FetchedAt: fetchedAt, ValidUntil: validUntil,
		Current: readCurrent(current),
		Old:     readOld(old),
	}, nil
}

func readCurrent(object canonicaljson.Value) map[ident.KeyID]ed25519.PublicKey {
	keys := make(map[ident.KeyID]ed25519.PublicKey, object.Len())
	for name, entry := range object.Members() {
		if id, public, ok := readKey(name, entry); ok {
			keys[id] = public
		}
	}
	return keys
}

func readOld(object canonicaljson.Value) map[ident.KeyID]OldKey {
	keys := make(map[ident.KeyID]OldKey, object.Len())
	for name, entry := range object.Members() {
		id, public, ok := readKey(name, entry)
		expired, dated := entry.Get("expired_ts").Int()
		if ok && dated {
			keys[id] = OldKey{ID: id, Public: public, ExpiredAt: expired}
		}
	}
	return keys
}

// readKey is false for what is no usable Ed25519 key.
func readKey(name string, entry canonicaljson.Value) (ident.KeyID, ed25519.PublicKey, bool) {
	id, err := ident.ParseKeyID(name)
	if err != nil || len(name) > maxKeyIDLength || !strings.HasPrefix(name, signing.Algorithm+":") {
		return "", nil, false
	}
	text, _ := entry.Get("key").Text()
	public, err := signing.DecodeBase64(text)
	if err != nil || len(public) != ed25519.PublicKeySize {
		return "", nil, false
	}
	return id, public, true
}

// verify checks every signature that the document carries by one of its own current keys; there must be one.
func (d *Document) verify(raw []byte) error {
	verified := false
	for id, public := range d.Current {
		switch err := signing.VerifyJSON(raw, d.Server, id, public); {
		case err == nil:
			verified = true
		case !errors.Is(err, signing.ErrNoSignature):
			return err
		}
	}
	if !verified {
		return errors.New("not signed by a key of its own")
	}
	return nil
}
