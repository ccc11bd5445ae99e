// SPDX-License-Identifier: Apache-2.0

package event

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
	"github.com/strata-matrix/strata/transport/turns"
)

const (
	// policyServerKey signs for the room's policy server, whose key is in room state; it is no key of a server (P-17, M-102).
	policyServerKey = "ed25519:policy_server"

	// maxSignatures is the most signatures by one server that are verified. An honest server signs once, or once per key
	// while it changes keys; an event has room for six hundred.
	maxSignatures = 32

	// maxCandidates is the most servers that are tried where the rules do not say which one has to sign.
	maxCandidates = 4
)

// The reasons why an event is dropped for its signatures (P-15).
var (
	// ErrUnsigned says that a server that has to sign did not.
	ErrUnsigned = errors.New("no signature")
	// ErrNoKey says that none of the server's signatures is by a key that is known and valid at the event's time. The event
	// may verify later, when the server can be asked for its keys.
	ErrNoKey = errors.New("no usable key")
	// ErrBadSignature says that a signature is not the key's over this event, or that there are too many to tell.
	ErrBadSignature = errors.New("bad signature")
)

// KeySource finds the public keys that verify events. A query without an answer has no usable key. *keys.Ring is one.
type KeySource interface {
	Keys(ctx context.Context, queries []keys.Query) map[keys.Query]ed25519.PublicKey
}

// signers is who has to sign an event.
type signers struct {
	all []ident.ServerName // each of these
	any []ident.ServerName // if not empty, one of these
}

// clone shares no bytes with the event that the names came from.
func (s signers) clone() signers {
	for _, list := range []*[]ident.ServerName{&s.all, &s.any} {
		*list = slices.Clone(*list)
		for i, server := range *list {
			(*list)[i] = ident.ServerName(strings.Clone(string(server)))
		}
	}
	return s
}

// RequiredServers is the servers whose signatures the event needs, each once: the sender's; in room versions 1 and 2 that of
// the event id; from 8 on that of join_authorised_via_users_server (P-16). A third-party invite does not need the sender's, so
// that it may need none in particular (P-18): VerifySignatures then demands one of those that had a hand in it.
func RequiredServers(e *Event) []ident.ServerName { return e.required().all }

// required is who has to sign. It is read from the content as received: redaction, which takes away what it depends on, must
// not change it.
func (e *Event) required() signers {
	if e.signers != nil {
		return *e.signers
	}
	s := signers{all: make([]ident.ServerName, 0, 1)}
	member, isMember := e.Membership()
	thirdParty := isMember && member.ThirdParty && member.Membership == "invite"
	if !thirdParty {
		s.all = append(s.all, e.sender.Server())
	}
	if server, ok := e.id.Server(); ok && e.version.EventIDSigner && !slices.Contains(s.all, server) {
		s.all = append(s.all, server)
	}
	if e.version.Restricted && isMember && member.AuthorisedVia != "" {
		user, err := ident.ParseUserID(member.AuthorisedVia)
		if err == nil && !slices.Contains(s.all, user.Server()) {
			s.all = append(s.all, user.Server())
		}
	}
	if thirdParty && len(s.all) == 0 {
		s.any = e.candidates()
	}
	return s
}

// candidates is who may have sent a third-party invite: the sender's server, the invited user's, or another one that signed
// it. The specification does not say whose signature it takes.
func (e *Event) candidates() []ident.ServerName {
	servers := []ident.ServerName{e.sender.Server()}
	add := func(server ident.ServerName) {
		if len(servers) < maxCandidates && !slices.Contains(servers, server) {
			servers = append(servers, server)
		}
	}
	if user, err := ident.ParseUserID(e.key); err == nil {
		add(user.Server())
	}
	for server := range e.Signatures().Members() {
		if name, err := ident.ParseServerName(server); err == nil {
			add(name)
		}
	}
	return servers
}

// VerifySignatures verifies the signatures that each event needs and returns an error for each, nil for a good event, wrapping
// ErrUnsigned, ErrNoKey or ErrBadSignature (P-14 to P-18). All keys are asked for at once and all signatures verified
// together, so many events should come in one call.
//
// Of a server that has to sign, signatures of unknown algorithms, of the policy server and of keys that are unknown or expired
// count for nothing; all others must verify, and there must be one (P-17). From room version 5 on a key must have been valid
// at origin_server_ts. A canceled ctx makes keys unknown: callers look at ctx.Err() before they drop anything. What keeps the
// processor busy has the turns of ctx; keys are waited for outside of them.
func VerifySignatures(ctx context.Context, events []*Event, source KeySource) []error {
	var b batch
	cases := make([]verification, len(events))
	err := turns.Do(ctx, func() {
		for i, e := range events {
			cases[i] = b.collect(e)
		}
	})
	if err == nil {
		err = b.verify(ctx, source)
	}
	verdicts := make([]error, len(events))
	for i, c := range cases {
		if err != nil {
			verdicts[i] = fmt.Errorf("%w: %w", ErrNoKey, err)
		} else {
			verdicts[i] = b.judge(c)
		}
	}
	return verdicts
}

// VerifySignatureOf verifies what one server signed, whether the event needs it or not; otherwise as VerifySignatures.
func VerifySignatureOf(ctx context.Context, server ident.ServerName, e *Event, source KeySource) error {
	w := borrow()
	message, root := w.redacted(e, false)
	var b batch
	c := b.claim(e, server, root.Get("signatures").Get(string(server)), message)
	w.giveBack()
	if err := b.verify(ctx, source); err != nil {
		return fmt.Errorf("%w: %w", ErrNoKey, err)
	}
	return b.judgeClaim(c)
}

// verification is one event's part of a batch.
type verification struct {
	all, any []claim
}

// claim is the signatures by one server on one event: a range of the batch's candidates.
type claim struct {
	server   ident.ServerName
	from, to int
	flooded  bool // more than maxSignatures
}

// candidate is one signature that counts if its key is known.
type candidate struct {
	query     keys.Query
	message   []byte
	signature []byte // nil if it could not be decoded
	known     bool
	valid     bool
}

// batch gathers the signatures of many events. It belongs to one call of VerifySignatures.
type batch struct {
	candidates []candidate
}

func (b *batch) collect(e *Event) verification {
	need := e.required()
	w := borrow()
	defer w.giveBack()
	message, root := w.redacted(e, false)
	signatures := root.Get("signatures")
	var v verification
	for _, server := range need.all {
		v.all = append(v.all, b.claim(e, server, signatures.Get(string(server)), message))
	}
	for _, server := range need.any {
		v.any = append(v.any, b.claim(e, server, signatures.Get(string(server)), message))
	}
	return v
}

func (b *batch) claim(e *Event, server ident.ServerName, signatures canonicaljson.Value, message []byte) claim {
	c := claim{server: server, from: len(b.candidates)}
	use := keys.ForOldEvent
	if e.version.EnforceKeyValidity {
		use = keys.ForEvent
	}
	for id, value := range signatures.Members() {
		if !strings.HasPrefix(id, signing.Algorithm+":") || id == policyServerKey {
			continue
		}
		if len(b.candidates)-c.from == maxSignatures {
			c.flooded = true
			break
		}
		text, _ := value.Text()
		signature, err := signing.DecodeBase64(text)
		if err != nil || len(signature) != ed25519.SignatureSize {
			signature = nil
		}
		query := keys.Query{Server: server, KeyID: ident.KeyID(id), At: e.ts, Use: use}
		b.candidates = append(b.candidates, candidate{query: query, message: message, signature: signature})
	}
	c.to = len(b.candidates)
	return c
}

// verify finds the keys and verifies what has one. An error means that nothing was verified.
func (b *batch) verify(ctx context.Context, source KeySource) error {
	if len(b.candidates) == 0 {
		return nil
	}
	queries := make([]keys.Query, 0, len(b.candidates))
	asked := make(map[keys.Query]bool, len(b.candidates))
	for _, c := range b.candidates {
		if !asked[c.query] {
			asked[c.query] = true
			queries = append(queries, c.query)
		}
	}
	found := source.Keys(ctx, queries)
	checks := make([]signing.Check, 0, len(b.candidates))
	owners := make([]int, 0, len(b.candidates))
	for i := range b.candidates {
		c := &b.candidates[i]
		public, ok := found[c.query]
		if c.known = ok && len(public) == ed25519.PublicKeySize; !c.known || c.signature == nil {
			continue
		}
		checks = append(checks, signing.Check{Public: public, Message: c.message, Signature: c.signature})
		owners = append(owners, i)
	}
	return turns.Do(ctx, func() {
		for i, valid := range signing.VerifyBatch(checks) {
			b.candidates[owners[i]].valid = valid
		}
	})
}

func (b *batch) judge(v verification) error {
	for _, c := range v.all {
		if err := b.judgeClaim(c); err != nil {
			return err
		}
	}
	var first error
	for _, c := range v.any {
		err := b.judgeClaim(c)
		if err == nil {
			return nil
		}
		if first == nil || errors.Is(first, ErrUnsigned) {
			first = err
		}
	}
	return first
}

func (b *batch) judgeClaim(c claim) error {
	if c.flooded {
		return fmt.Errorf("%w: more than %d by %s", ErrBadSignature, maxSignatures, c.server)
	}
	if c.from == c.to {
		return fmt.Errorf("%w by %s", ErrUnsigned, c.server)
	}
	good := false
	for _, s := range b.candidates[c.from:c.to] {
		if s.known && !s.valid {
			return fmt.Errorf("%w by %s with key %s", ErrBadSignature, c.server, s.query.KeyID)
		}
		good = good || s.valid
	}
	if !good {
		return fmt.Errorf("%w of %s: it signed with %s", ErrNoKey, c.server, b.candidates[c.from].query.KeyID)
	}
	return nil
}
