// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"crypto/ed25519"
	"iter"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// maxInviteVerifications bounds the signature checks that one third-party invite can cost. An event holds room for about 900
// keys and another for 500 signatures, and nothing says which key made which signature: all pairs would be 15 s of work. An
// identity server gives out two keys and signs once.
const maxInviteVerifications = 128

// checkThirdPartyInviteEvent: publishing a third-party invite takes the invite level and nothing else (P-52).
func (r *room) checkThirdPartyInviteEvent(e *event.Event) Result {
	if power, level := r.levels.of(e.Sender()), r.levels.invite(); power < level {
		return deny("P-52", "sender %s has power %s and the invite level is %s", e.Sender(), power, level)
	}
	return allow("P-52", "the sender has the invite level")
}

// checkThirdPartyInvite: an invite that redeems an m.room.third_party_invite event of the same sender (P-46). The sender's
// own membership does not matter: they may have left since.
func (r *room) checkThirdPartyInvite(e *event.Event, target ident.UserID) Result {
	if r.membership(target) == membershipBan {
		return deny("P-46", "%s is banned", target)
	}
	signed := e.Content().Get("third_party_invite").Get("signed")
	if signed.Kind() != canonicaljson.Object {
		return deny("P-46", "third_party_invite has no signed object")
	}
	mxid, hasUser := signed.Get("mxid").Text()
	token, hasToken := signed.Get("token").Text()
	if !hasUser || !hasToken {
		return deny("P-46", "signed lacks mxid or token")
	}
	if mxid != string(target) {
		return deny("P-46", "signed is for %q and the invite for %s", mxid, target)
	}
	published := r.state.Event(event.StateKey{Type: typeThirdPartyInvite, Key: token})
	if published == nil {
		return deny("P-46", "the room has no m.room.third_party_invite with token %q", token)
	}
	if published.Sender() != e.Sender() {
		return deny("P-46", "sender %s is not %s, who published the third-party invite", e.Sender(), published.Sender())
	}
	if !signedByAny(signed, publishedKeys(published.Content())) {
		return deny("P-46", "no signature of signed is by a key of third-party invite %s", published.ID())
	}
	return allow("P-46", "signed is by a key of the third-party invite")
}

// InviteKey is a key that may redeem a third-party invite, as the room publishes it.
type InviteKey struct {
	Text        string // in base64
	ValidityURL string // where it can be asked whether the key has been revoked, "" when it never is
	public      ed25519.PublicKey
}

// RedeemingKeys gives, of the keys in the content of an m.room.third_party_invite event, those by which signed is signed. The names
// that signer and key go by are not compared with anything: the room published the keys themselves.
func RedeemingKeys(signed, published canonicaljson.Value) (list []InviteKey) {
	for key := range redeeming(signed, publishedKeys(published)) {
		list = append(list, key)
	}
	return list
}

// publishedKeys is the keys that may redeem a third-party invite. What is no Ed25519 key is passed over.
func publishedKeys(content canonicaljson.Value) []InviteKey {
	var keys []InviteKey
	add := func(object canonicaljson.Value) {
		text, _ := object.Get("public_key").Text()
		url, _ := object.Get("key_validity_url").Text()
		if key, err := signing.DecodeBase64(text); err == nil && len(key) == ed25519.PublicKeySize {
			keys = append(keys, InviteKey{text, url, key})
		}
	}
	add(content)
	for item := range content.Get("public_keys").Elements() {
		add(item)
	}
	return keys
}

// redeeming gives each of the keys for each signature of the object that is by it.
func redeeming(signed canonicaljson.Value, keys []InviteKey) iter.Seq[InviteKey] {
	return func(yield func(InviteKey) bool) {
		message, left := signing.SignedBytes(signed), maxInviteVerifications
		for server, signatures := range signed.Get("signatures").Members() {
			for id := range signatures.Members() {
				signature, err := signing.Signature(signed, ident.ServerName(server), ident.KeyID(id))
				if err != nil {
					continue
				}
				for _, key := range keys {
					if left--; left < 0 {
						return
					}
					if ed25519.Verify(key.public, message, signature) && !yield(key) {
						return
					}
				}
			}
		}
	}
}

func signedByAny(signed canonicaljson.Value, keys []InviteKey) bool {
	for range redeeming(signed, keys) {
		return true
	}
	return false
}
