// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

func inviteKey(t *testing.T, seed byte) signing.Key {
	t.Helper()
	key, err := signing.NewKey("ed25519:0", bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publicKey(key signing.Key) string { return signing.EncodeBase64(key.Public()) }

// TestThirdPartyInvite is rule 5.4.1 of rooms/v12 and its like in every version (P-46), with G-A10, G-A11 and G-C4.
func TestThirdPartyInvite(t *testing.T) {
	key, other := inviteKey(t, 1), inviteKey(t, 2)
	sign := func(object string, keys ...signing.Key) string {
		signed := []byte(object)
		for i, k := range keys {
			var err error
			k.ID = ident.KeyID(fmt.Sprintf("ed25519:%d", i))
			if signed, err = signing.SignJSON(signed, "id.example", k); err != nil {
				t.Fatal(err)
			}
		}
		return fmt.Sprintf(`{"signed":%s}`, signed)
	}
	const right = `{"mxid":"@bob:b","token":"tok"}`
	one := fmt.Sprintf(`{"public_key":%q}`, publicKey(key))
	listed := fmt.Sprintf(`{"public_key":%q,"public_keys":[{"public_key":%q},{"public_key":%q}]}`, publicKey(other), publicKey(other), publicKey(key))
	tests := []struct {
		name    string
		sender  string
		invite  string // third_party_invite of the invite
		publish string // content of m.room.third_party_invite
		bob     string // membership of the target
		want    string
	}{
		{"signed with the key", "@alice:a", sign(right, key), one, "", "allow P-46"},
		{"G-A11 only public_key", "@alice:a", sign(right, key), one, "leave", "allow P-46"},
		{"G-A11 extra field in signed", "@alice:a", sign(`{"mxid":"@bob:b","token":"tok","x":[1]}`, key), one, "", "allow P-46"},
		{"signed with one of public_keys", "@alice:a", sign(right, key), listed, "", "allow P-46"},
		{"one of two signatures", "@alice:a", sign(right, other, key), one, "", "allow P-46"},
		{"target joined already", "@alice:a", sign(right, key), one, "join", "allow P-46"},
		{"signed with another key", "@alice:a", sign(right, other), one, "", "deny P-46"},
		{"not signed", "@alice:a", sign(right), one, "", "deny P-46"},
		{"changed after signing", "@alice:a", strings.Replace(sign(`{"mxid":"@bob:b","token":"tok","x":1}`, key), `"x":1`, `"x":2`, 1), one, "", "deny P-46"},
		{"G-A10 not the sender of the third-party invite", "@mod:a", sign(right, key), one, "", "deny P-46"},
		{"G-A10 target banned", "@alice:a", sign(right, key), one, "ban", "deny P-46"},
		{"for another user", "@alice:a", sign(`{"mxid":"@carol:c","token":"tok"}`, key), one, "", "deny P-46"},
		{"no such token", "@alice:a", sign(`{"mxid":"@bob:b","token":"gone"}`, key), one, "", "deny P-46"},
		{"no mxid", "@alice:a", sign(`{"token":"tok"}`, key), one, "", "deny P-46"},
		{"no token", "@alice:a", sign(`{"mxid":"@bob:b"}`, key), one, "", "deny P-46"},
		{"token is no string", "@alice:a", sign(`{"mxid":"@bob:b","token":["tok"]}`, key), one, "", "deny P-46"},
		{"no signed", "@alice:a", `{}`, one, "", "deny P-46"},
		{"signed is no object", "@alice:a", `{"signed":"x"}`, one, "", "deny P-46"},
		{"third_party_invite is no object", "@alice:a", `null`, one, "", "deny P-46"},
		{"signatures of odd shapes", "@alice:a", `{"signed":{"mxid":"@bob:b","token":"tok","signatures":{"a":1,"b":{"ed25519:0":[],"rsa:1":"AA","x":"AA"}}}}`, one, "", "deny P-46"},
		{"G-C4 a key of the wrong length", "@alice:a", sign(right, key), `{"public_keys":[{"public_key":"AAAA"}]}`, "", "deny P-46"},
		{"G-C4 the other keys still count", "@alice:a", sign(right, key), fmt.Sprintf(
			`{"public_key":"AAAA","public_keys":[{"public_key":"!"},7,{},{"public_key":%q}]}`, publicKey(key)), "", "allow P-46"},
		{"no keys", "@alice:a", sign(right, key), `{}`, "", "deny P-46"},
		{"key in the URL-safe alphabet", "@alice:a", sign(right, key), strings.NewReplacer("+", "-", "/", "_").Replace(one), "", "allow P-46"},
	}
	for _, version := range event.Versions() {
		for _, tt := range tests {
			t.Run("v"+version+" "+tt.name, func(t *testing.T) {
				r := newTestRoom(t, version)
				events := []*event.Event{
					r.event(createSketch(r.version, "@alice:a", "")),
					r.event(memberSketch("@mod:a", "@mod:a", "join", "")),
					// The sender's own membership is not consulted: they left after publishing.
					r.event(memberSketch("@alice:a", "@alice:a", "leave", "")),
					r.event(stateSketch("@alice:a", typeThirdPartyInvite, "tok", tt.publish)),
				}
				if tt.bob != "" {
					events = append(events, r.event(memberSketch("@bob:b", "@bob:b", tt.bob, "")))
				}
				e := r.event(memberSketch(tt.sender, "@bob:b", "invite", `{"third_party_invite":`+tt.invite+`}`))
				got := Check(e, StateOf(events))
				if answer := verdictOf(got) + " " + got.Rule; answer != tt.want {
					t.Errorf("got %s: %s\nwant %s", answer, got.Detail, tt.want)
				}
			})
		}
	}
}

// TestInviteVerificationsBounded: an invite with hundreds of signatures and keys costs a bounded number of verifications, and
// a signature within the bound still counts.
func TestInviteVerificationsBounded(t *testing.T) {
	key := inviteKey(t, 1)
	var keys, signatures strings.Builder
	for i := range 700 {
		fmt.Fprintf(&keys, `{"public_key":%q},`, publicKey(inviteKey(t, byte(i%250+2))))
	}
	for i := range 400 {
		fmt.Fprintf(&signatures, `,"ed25519:%d":%q`, i+1, signing.EncodeBase64(make([]byte, 64)))
	}
	r := newTestRoom(t, "11")
	judge := func(publish, signatures string) Result {
		signed, err := signing.SignJSON([]byte(`{"mxid":"@bob:b","token":"tok"}`), "id.example", key)
		if err != nil {
			t.Fatal(err)
		}
		many := strings.Replace(string(signed), `"}}`, `"`+signatures+`}}`, 1)
		return Check(r.event(memberSketch("@alice:a", "@bob:b", "invite", `{"third_party_invite":{"signed":`+many+`}}`)),
			StateOf([]*event.Event{
				r.event(createSketch(r.version, "@alice:a", "")),
				r.event(stateSketch("@alice:a", typeThirdPartyInvite, "tok", publish)),
			}))
	}
	if got := judge(fmt.Sprintf(`{"public_key":%q}`, publicKey(key)), signatures.String()); !got.OK {
		t.Errorf("one key, 401 signatures, the first is right: %s %s", got.Rule, got.Detail)
	}
	late := fmt.Sprintf(`{"public_keys":[%s{"public_key":%q}]}`, keys.String(), publicKey(key))
	if got := judge(late, signatures.String()); got.OK {
		t.Errorf("the right key is the 701st of 401 signatures: allowed, so %d verifications were no bound", maxInviteVerifications)
	}
}
