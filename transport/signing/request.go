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

var (
	// ErrWrongDestination says that a request was signed for another server. The answer is 401.
	ErrWrongDestination = errors.New("signed for another destination")
	// ErrWrongOrigin says that credentials of one server came with a request of another, as with two Authorization headers of
	// different origins.
	ErrWrongOrigin = errors.New("signed by another origin")
)

// Request is what the signature of a federation request covers.
type Request struct {
	Method      string           // "PUT"
	URI         string           // path from "/_matrix/" and "?query", byte for byte as in the request line
	Origin      ident.ServerName // undelegated, as is Destination
	Destination ident.ServerName
	Content     canonicaljson.Value // the JSON body; the zero Value when the request has none
}

// Authorization signs the request and returns the value of its Authorization header in the strictest form, which old parsers
// understand too.
func (r Request) Authorization(key Key) string {
	signature := ed25519.Sign(key.Private, r.signedBytes(r.Origin))
	return fmt.Sprintf(`X-Matrix origin="%s",destination="%s",key="%s",sig="%s"`,
		r.Origin, r.Destination, key.ID, EncodeBase64(signature))
}

// Verify checks that the credentials are those of this request. Destination must be our own name; credentials of old peers may
// lack it. Origin may be left empty, the credentials' then counts. The error wraps ErrWrongDestination, ErrWrongOrigin or
// ErrBadSignature.
func (r Request) Verify(c Credentials, pub ed25519.PublicKey) error {
	if c.Destination != "" && c.Destination != r.Destination {
		return fmt.Errorf("%w: %s, not %s", ErrWrongDestination, c.Destination, r.Destination)
	}
	if r.Origin != "" && c.Origin != r.Origin {
		return fmt.Errorf("%w: %s, not %s", ErrWrongOrigin, c.Origin, r.Origin)
	}
	signature, err := decodeSignature(c.Signature)
	if err != nil {
		return fmt.Errorf("request of %s: %w", c.Origin, err)
	}
	message := r.signedBytes(c.Origin)
	if !strings.HasPrefix(string(c.Key), Algorithm+":") || !verify(Check{Public: pub, Message: message, Signature: signature}) {
		return fmt.Errorf("request of %s: %w: %s", c.Origin, ErrBadSignature, c.Key)
	}
	return nil
}

// signedBytes is the canonical JSON of the request, its members in canonical order.
func (r Request) signedBytes(origin ident.ServerName) []byte {
	content := r.Content.Canonical()
	const frame = len(`{"content":,"destination":"","method":"","origin":"","uri":""}`)
	size := frame + len(content) + len(r.Destination) + len(r.Method) + len(origin) + len(r.URI)
	out := append(make([]byte, 0, size), '{')
	if content != nil {
		out = appendMember(out, "content", content)
	}
	for _, member := range [...]struct{ name, value string }{
		{"destination", string(r.Destination)},
		{"method", r.Method},
		{"origin", string(origin)},
		{"uri", r.URI},
	} {
		out = appendMember(out, member.name, nil)
		out = canonicaljson.AppendString(out, member.value)
	}
	return append(out, '}')
}
