// SPDX-License-Identifier: Apache-2.0

package signing

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// Algorithm is the only signature algorithm of Matrix; signatures of any other are skipped.
const Algorithm = "ed25519"

var (
	// ErrNoSignature says that the object carries no signature by the server and key asked for. It may carry others.
	ErrNoSignature = errors.New("no such signature")
	// ErrBadSignature says that the signature is malformed or was not made by this key over these bytes. Asking for the
	// server's keys again does not help.
	ErrBadSignature = errors.New("bad signature")
)

// SignJSON adds the signature of server, made with key, to a JSON object and returns the object in canonical form. Signatures
// of other servers and keys, and unsigned, are kept as they are. Numbers stay digit for digit, so events of room
// versions 1 to 5 may be signed too.
func SignJSON(object []byte, server ident.ServerName, key Key) ([]byte, error) {
	root, err := parseObject(object)
	if err != nil {
		return nil, fmt.Errorf("sign JSON as %s: %w", server, err)
	}
	all := root.Get("signatures")
	if root.Has("signatures") && all.Kind() != canonicaljson.Object {
		return nil, fmt.Errorf("sign JSON as %s: signatures is not an object", server)
	}
	own := all.Get(string(server))
	if all.Has(string(server)) && own.Kind() != canonicaljson.Object {
		return nil, fmt.Errorf("sign JSON as %s: its signatures are not an object", server)
	}
	signature := ed25519.Sign(key.Private, SignedBytes(root))
	signed := canonicaljson.AppendString(nil, EncodeBase64(signature))
	signed = withMember(own, string(key.ID), signed)
	signed = withMember(all, string(server), signed)
	return withMember(root, "signatures", signed), nil
}

// VerifyJSON checks the one signature of server under the key id against the public key. The error wraps ErrNoSignature
// or ErrBadSignature, or says why the object could not be parsed.
func VerifyJSON(object []byte, server ident.ServerName, id ident.KeyID, pub ed25519.PublicKey) error {
	root, err := parseObject(object)
	if err != nil {
		return fmt.Errorf("verify JSON of %s: %w", server, err)
	}
	signature, err := Signature(root, server, id)
	if err != nil {
		return fmt.Errorf("verify JSON: %w", err)
	}
	if !verify(Check{Public: pub, Message: SignedBytes(root), Signature: signature}) {
		return fmt.Errorf("verify JSON: %w: %s of %s", ErrBadSignature, id, server)
	}
	return nil
}

// Signature returns the bytes of the signature that the object carries under server and key id. The error wraps ErrNoSignature,
// also for a key id of another algorithm, or ErrBadSignature when it is not base64 of the right length.
func Signature(object canonicaljson.Value, server ident.ServerName, id ident.KeyID) ([]byte, error) {
	if !strings.HasPrefix(string(id), Algorithm+":") {
		return nil, fmt.Errorf("%w: %s of %s is not an %s key", ErrNoSignature, id, server, Algorithm)
	}
	text, ok := object.Get("signatures").Get(string(server)).Get(string(id)).Text()
	if !ok {
		return nil, fmt.Errorf("%w: %s of %s", ErrNoSignature, id, server)
	}
	return decodeSignature(text)
}

func decodeSignature(text string) ([]byte, error) {
	signature, err := DecodeBase64(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBadSignature, err)
	}
	if len(signature) != ed25519.SignatureSize {
		return nil, fmt.Errorf("%w: %d bytes, want %d", ErrBadSignature, len(signature), ed25519.SignatureSize)
	}
	return signature, nil
}

// SignedBytes is what a signature of the object covers: its canonical form without signatures and unsigned.
func SignedBytes(object canonicaljson.Value) []byte {
	out := make([]byte, 0, len(object.Canonical()))
	out = append(out, '{')
	for name, value := range object.Members() {
		if name != "signatures" && name != "unsigned" {
			out = appendMember(out, name, value.Canonical())
		}
	}
	return append(out, '}')
}

func parseObject(src []byte) (canonicaljson.Value, error) {
	root, err := canonicaljson.Parse(src, canonicaljson.Lenient)
	if err != nil {
		return canonicaljson.Value{}, err
	}
	if root.Kind() != canonicaljson.Object {
		return canonicaljson.Value{}, errors.New("not a JSON object")
	}
	return root, nil
}

// withMember writes the object, or an empty one for the zero Value, with one member set to the canonical value. Members come
// in canonical order, which is the order of their bytes.
func withMember(object canonicaljson.Value, name string, value []byte) []byte {
	out := make([]byte, 0, len(object.Canonical())+len(name)+len(value)+len(`{"":,}`))
	out = append(out, '{')
	written := false
	for other, old := range object.Members() {
		if !written && other >= name {
			out = appendMember(out, name, value)
			written = true
		}
		if other != name {
			out = appendMember(out, other, old.Canonical())
		}
	}
	if !written {
		out = appendMember(out, name, value)
	}
	return append(out, '}')
}

func appendMember(out []byte, name string, value []byte) []byte {
	if out[len(out)-1] != '{' {
		out = append(out, ',')
	}
	out = canonicaljson.AppendString(out, name)
	out = append(out, ':')
	return append(out, value...)
}
