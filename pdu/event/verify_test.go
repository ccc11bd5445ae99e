// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
)

// publicKeys is the public halves of the seed keys that the names "server keyid" say.
func publicKeys(t testing.TB, names ...string) map[string]ed25519.PublicKey {
	t.Helper()
	all := make(map[string]ed25519.PublicKey)
	for _, name := range names {
		_, id, _ := strings.Cut(name, " ")
		all[name] = seedKey(t, ident.KeyID(id)).Public()
	}
	return all
}

// signedBy is the event with signatures, each named "server keyid", or "server keyid bad" for one over something else.
func signedBy(t testing.TB, v *event.Version, wire object, names ...string) *event.Event {
	t.Helper()
	e, err := event.Parse(v, naive(wire))
	if err != nil {
		t.Fatal(err)
	}
	var bad []string
	for _, name := range names {
		parts := strings.Fields(name)
		if len(parts) == 3 {
			bad = append(bad, name)
			continue
		}
		if e, err = e.Sign(ident.ServerName(parts[0]), seedKey(t, ident.KeyID(parts[1]))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range bad {
		e = withSignature(t, e, strings.Fields(name), base64.RawStdEncoding.EncodeToString(make([]byte, ed25519.SignatureSize)))
	}
	return e
}

func withSignature(t testing.TB, e *event.Event, name []string, signature string) *event.Event {
	t.Helper()
	var wire object
	decode(e.JSON(), &wire)
	signatures, _ := wire["signatures"].(object)
	own, ok := signatures[name[0]].(object)
	if !ok {
		own = object{}
		signatures[name[0]] = own
	}
	own[name[1]] = signature
	out, err := event.Parse(e.Version(), naive(wire))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const thirdPartyInvite = `{"membership":"invite","third_party_invite":{"display_name":"x","signed":{"mxid":"@b:invitee"}}}`

// P-15 to P-18, P-45, G-K1 to G-K3: who has to sign, and what counts.
func TestVerifySignatures(t *testing.T) {
	member := func(v *event.Version, content string) object {
		return sample(v, "m.room.member", "@b:invitee", content)
	}
	message := func(v *event.Version) object { return sample(v, "m.room.message", nil, `{"body":"x"}`) }
	restricted := `{"membership":"join","join_authorised_via_users_server":"@a:resident"}`
	otherID := func(v *event.Version) object { return with(message(v), object{"event_id": "$0:idserver"}) }
	const a, b, stranger = "domain ed25519:1", "domain ed25519:2", "domain ed25519:unknown"
	known := publicKeys(t, a, b, "invitee ed25519:1", "resident ed25519:1", "idserver ed25519:1", "relay ed25519:1")
	known["domain ed25519:policy_server"] = seedKey(t, "ed25519:1").Public()
	tests := []struct {
		name    string
		version string
		wire    func(*event.Version) object
		signers []string
		want    error
	}{
		{"signed", "10", message, []string{a}, nil},
		{"unsigned", "10", message, nil, event.ErrUnsigned},
		{"signed by another server only", "10", message, []string{"relay ed25519:1"}, event.ErrUnsigned},
		{"bad signature", "10", message, []string{a + " bad"}, event.ErrBadSignature},
		{"two good keys", "10", message, []string{a, b}, nil},
		{"G-K2 one good, one bad", "10", message, []string{a, b + " bad"}, event.ErrBadSignature},
		{"P-17 bad one of an unknown key", "10", message, []string{a, stranger + " bad"}, nil},
		{"P-17 unknown key only", "10", message, []string{stranger}, event.ErrNoKey},
		{"P-17 unknown algorithm", "10", message, []string{a, "domain rsa:1 bad"}, nil},
		{"unknown algorithm only", "10", message, []string{"domain rsa:1 bad"}, event.ErrUnsigned},
		{"G-K3 policy server key", "10", message, []string{a, "domain ed25519:policy_server bad"}, nil},
		{"G-K3 policy server key only", "10", message, []string{"domain ed25519:policy_server"}, event.ErrUnsigned},
		{"P-19 bad signature of a server that need not sign", "10", message, []string{a, "relay ed25519:1 bad"}, nil},
		{"G-K1 invite signed by the sender's server only", "10",
			func(v *event.Version) object { return member(v, `{"membership":"invite"}`) }, []string{a}, nil},
		{"P-16 version 2 needs the event id's server", "2", otherID, []string{a}, event.ErrUnsigned},
		{"P-16 version 2, both", "2", otherID, []string{a, "idserver ed25519:1"}, nil},
		{"P-16 version 2 needs the sender's too", "2", otherID, []string{"idserver ed25519:1"}, event.ErrUnsigned},
		{"P-45 version 7 knows no authoriser", "7", func(v *event.Version) object { return member(v, restricted) }, []string{a}, nil},
		{"P-45 version 8 needs it", "8", func(v *event.Version) object { return member(v, restricted) }, []string{a}, event.ErrUnsigned},
		{"P-45 version 8, both", "8", func(v *event.Version) object { return member(v, restricted) },
			[]string{a, "resident ed25519:1"}, nil},
		{"P-45 in a leave", "12", func(v *event.Version) object { return member(v, strings.Replace(restricted, "join", "leave", 1)) },
			[]string{a}, event.ErrUnsigned},
		{"G-K1 P-18 third-party invite by the invitee's server", "10",
			func(v *event.Version) object { return member(v, thirdPartyInvite) }, []string{"invitee ed25519:1"}, nil},
		{"P-18 by the sender's server", "10", func(v *event.Version) object { return member(v, thirdPartyInvite) }, []string{a}, nil},
		{"Q-13 by another server", "10", func(v *event.Version) object { return member(v, thirdPartyInvite) },
			[]string{"relay ed25519:1"}, nil},
		{"Q-13 by nobody", "10", func(v *event.Version) object { return member(v, thirdPartyInvite) }, nil, event.ErrUnsigned},
		{"Q-13 badly", "10", func(v *event.Version) object { return member(v, thirdPartyInvite) },
			[]string{"invitee ed25519:1 bad"}, event.ErrBadSignature},
		{"P-18 version 1 needs the event id's server", "1", func(v *event.Version) object { return member(v, thirdPartyInvite) },
			[]string{"invitee ed25519:1"}, event.ErrUnsigned},
	}
	var events []*event.Event
	for _, tt := range tests {
		v := version(t, tt.version)
		e := signedBy(t, v, tt.wire(v), tt.signers...)
		events = append(events, e)
		errs := event.VerifySignatures(t.Context(), []*event.Event{e}, &keyRing{keys: known})
		if !errors.Is(errs[0], tt.want) || (errs[0] == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", tt.name, errs[0], tt.want)
		}
	}
	// All in one call give the same verdicts, for one question to the key source.
	ring := &keyRing{keys: known}
	for i, err := range event.VerifySignatures(t.Context(), events, ring) {
		if tt := tests[i]; !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
			t.Errorf("%s, in company: %v, want %v", tt.name, err, tt.want)
		}
	}
	if ring.calls != 1 {
		t.Errorf("the key source was asked %d times", ring.calls)
	}
}

// P-14: signatures are over the redacted form, so a changed content leaves them good; who has to sign is what the content said
// before redaction took it away.
func TestVerifyRedacted(t *testing.T) {
	ring := &keyRing{keys: publicKeys(t, "domain ed25519:1", "invitee ed25519:1", "resident ed25519:1")}
	v := version(t, "10")
	for name, tt := range map[string]struct {
		content string
		signer  string
		want    error
	}{
		"message":                     {`{"body":"x"}`, "domain ed25519:1", nil},
		"third-party invite":          {thirdPartyInvite, "invitee ed25519:1", nil},
		"plain invite by the invitee": {`{"membership":"invite"}`, "invitee ed25519:1", event.ErrUnsigned},
	} {
		var wire object
		decode(signedBy(t, v, sample(v, "m.room.member", "@b:invitee", tt.content), tt.signer).JSON(), &wire)
		wire["content"].(object)["added"] = 1
		e, err := event.Parse(v, naive(wire))
		if err != nil || !e.HashMismatch() {
			t.Fatalf("%v, or the hash matches", err)
		}
		if errs := event.VerifySignatures(t.Context(), []*event.Event{e}, ring); !errors.Is(errs[0], tt.want) {
			t.Errorf("%s: %v, want %v", name, errs[0], tt.want)
		}
	}
	// Version 8 redacts the authoriser away: it has to have signed all the same.
	eight := version(t, "8")
	e := signedBy(t, eight, sample(eight, "m.room.member", "@b:invitee",
		`{"membership":"join","join_authorised_via_users_server":"@a:resident"}`), "domain ed25519:1").Redact()
	want := []ident.ServerName{"domain", "resident"}
	if diff := cmp.Diff(want, event.RequiredServers(e)); diff != "" {
		t.Errorf("signers after redaction (-want +got):\n%s", diff)
	}
}

// from version 5 on keys have to be valid at the event's time; each question carries it.
func TestVerifyAsks(t *testing.T) {
	for _, id := range allVersions {
		v := version(t, id)
		use := keys.ForEvent
		if slices.Contains([]string{"1", "2", "3", "4"}, id) {
			use = keys.ForOldEvent
		}
		e := signedBy(t, v, sample(v, "m.x", nil, `{}`), "domain ed25519:1")
		ring := &keyRing{}
		event.VerifySignatures(t.Context(), []*event.Event{e, e}, ring)
		want := []keys.Query{{Server: "domain", KeyID: "ed25519:1", At: 1000000, Use: use}}
		if diff := cmp.Diff(want, ring.asked); diff != "" {
			t.Errorf("version %s (-want +got):\n%s", id, diff)
		}
	}
}

// An event cannot make us verify as many signatures as it has room for, and bad keys and encodings are no reason to panic
// (G-C4, G-C5).
func TestVerifyHostile(t *testing.T) {
	v := version(t, "10")
	signed := signedBy(t, v, sample(v, "m.x", nil, `{}`), "domain ed25519:1")
	ring := &keyRing{keys: publicKeys(t, "domain ed25519:1")}
	flooded := signed
	for i := range 40 {
		flooded = withSignature(t, flooded, []string{"domain", fmt.Sprintf("ed25519:x%d", i)}, "")
	}
	if errs := event.VerifySignatures(t.Context(), []*event.Event{flooded}, ring); !errors.Is(errs[0], event.ErrBadSignature) {
		t.Errorf("41 signatures: %v", errs[0])
	}
	for _, text := range []string{"", "!", "AAAA"} {
		broken := withSignature(t, signed, []string{"domain", "ed25519:1"}, text)
		if errs := event.VerifySignatures(t.Context(), []*event.Event{broken}, ring); !errors.Is(errs[0], event.ErrBadSignature) {
			t.Errorf("signature %q: %v", text, errs[0])
		}
	}
	short := &keyRing{keys: map[string]ed25519.PublicKey{"domain ed25519:1": {1, 2, 3}}}
	if errs := event.VerifySignatures(t.Context(), []*event.Event{signed}, short); !errors.Is(errs[0], event.ErrNoKey) {
		t.Errorf("short key: %v", errs[0])
	}
	if errs := event.VerifySignatures(t.Context(), nil, short); len(errs) != 0 {
		t.Errorf("no events: %v", errs)
	}
}
