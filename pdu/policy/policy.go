// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// KeyID is under which key a policy server signs.
const KeyID ident.KeyID = "ed25519:policy_server"

// Slot is where a room names its policy server.
var Slot = event.StateKey{Type: "m.room.policy"}

var (
	// ErrUnsigned: the policy server has not signed. Ask it.
	ErrUnsigned = errors.New("no signature of the policy server")
	// ErrBadSignature: what stands in the place of its signature is not one, or there is no key that could tell.
	ErrBadSignature = errors.New("bad signature of the policy server")
)

// Server is a room's policy server.
type Server struct {
	Name ident.ServerName
	key  string // base64, as it stands in the state: nothing verifies with one that is no key
}

// Of reads the content of an m.room.policy event; ok is false when it is not complete, and then the room has no policy server.
// It has one only while a user of that server is joined, too, which is for the caller to find out (M-100).
func Of(content canonicaljson.Value) (s Server, ok bool) {
	via, hasVia := content.Get("via").Text()
	key, hasKey := content.Get("public_keys").Get("ed25519").Text()
	if !hasVia || !hasKey {
		return Server{}, false
	}
	name, err := ident.ParseServerName(via)
	return Server{Name: name, key: key}, err == nil
}

// Concerns says whether an event needs the signature at all: all do but the one that names the policy server (M-101), so that a
// room can always get rid of it.
func Concerns(e *event.Event) bool { return !e.IsState(Slot) }

// Check says what is wrong with the policy server's signature on an event, nil for a good one (M-102).
func (s Server) Check(e *event.Event) error {
	text, ok := e.Signatures().Get(string(s.Name)).Get(string(KeyID)).Text()
	if !ok {
		return fmt.Errorf("%w %s", ErrUnsigned, s.Name)
	}
	key, err := signing.DecodeBase64(s.key)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("%w %s: the key in the room's state is none", ErrBadSignature, s.Name)
	}
	signature, err := signing.DecodeBase64(text)
	if err != nil || !e.Verify(key, signature) {
		return fmt.Errorf("%w %s", ErrBadSignature, s.Name)
	}
	return nil
}

// Merge adds the signature in an answer to /sign (E-36) to the event, beside all others (M-103). Whatever else is in the answer
// counts for nothing. The result passes Check.
func (s Server) Merge(e *event.Event, answer []byte) (*event.Event, error) {
	parsed, err := canonicaljson.Parse(answer, canonicaljson.Lenient)
	if err != nil {
		return nil, fmt.Errorf("answer of the policy server %s: %w", s.Name, err)
	}
	text, ok := parsed.Get(string(s.Name)).Get(string(KeyID)).Text()
	if !ok {
		return nil, fmt.Errorf("%w %s in its answer", ErrUnsigned, s.Name)
	}
	signed, err := e.WithSignature(s.Name, KeyID, text)
	if err != nil {
		return nil, err
	}
	if err := s.Check(signed); err != nil {
		return nil, err
	}
	return signed, nil
}
