// SPDX-License-Identifier: Apache-2.0

package event_test

import (
	"crypto/sha256"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/matrix-org/gomatrixserverlib"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

func proto(v *event.Version, typ string, key *string, content string) event.Proto {
	p := event.Proto{
		RoomID: "!r:domain", Sender: "@u:domain", Type: typ, StateKey: key, Content: []byte(content), Depth: 7, OriginServerTS: 12345,
		PrevEvents: []event.Ref{{ID: "$1:domain", Hash: sha256.Sum256([]byte("1"))}},
		AuthEvents: []event.Ref{{ID: "$2:domain", Hash: sha256.Sum256([]byte("2"))}},
	}
	if v.HashRoomID {
		p.RoomID = hashRoom
	}
	return p
}

// What we build is what others accept: our own parser, the library's, and its check of our signature (P-10, P-11).
func TestBuild(t *testing.T) {
	key := seedKey(t, "ed25519:1")
	ring := &keyRing{keys: publicKeys(t, "domain ed25519:1")}
	for _, id := range allVersions {
		v := version(t, id)
		empty := ""
		for _, p := range []event.Proto{
			proto(v, "m.room.message", nil, `{"body":"a <b> é\n","b":{"d":1,"c":2}}`),
			proto(v, "m.room.topic", &empty, `{"topic":"x"}`),
			proto(v, "m.room.create", &empty, `{"creator":"@u:domain","room_version":"`+id+`"}`),
		} {
			e, err := event.Build(v, p, "domain", key)
			if err != nil || e.HashMismatch() {
				t.Fatalf("version %s: %v", id, err)
			}
			if errs := event.VerifySignatures(t.Context(), []*event.Event{e}, ring); errs[0] != nil {
				t.Errorf("version %s: %v", id, errs[0])
			}
			checkBuilt(t, v, p, e)
		}
	}
}

func checkBuilt(t *testing.T, v *event.Version, p event.Proto, e *event.Event) {
	t.Helper()
	var wire map[string]json.RawMessage
	if err := json.Unmarshal(e.JSON(), &wire); err != nil {
		t.Fatal(err)
	}
	isHashCreate := v.HashRoomID && p.Type == "m.room.create"
	for key, want := range map[string]bool{
		"origin": v.OriginField, "event_id": v.EventIDFormat == event.IDField, "room_id": !isHashCreate, "unsigned": false,
		"state_key": p.StateKey != nil, "prev_state": false, "hashes": true, "signatures": true,
	} {
		if _, got := wire[key]; got != want {
			t.Errorf("version %s: %s of %s is present: %t, want %t", v.ID, key, p.Type, got, want)
		}
	}
	library, err := gomatrixserverlib.MustGetRoomVersion(gomatrixserverlib.RoomVersion(v.ID)).NewEventFromUntrustedJSON(e.JSON())
	if err != nil || library.Redacted() || library.EventID() != string(e.ID()) {
		t.Errorf("version %s: the library on %s: %v", v.ID, e.JSON(), err)
	}
	if e.Depth() != p.Depth || e.OriginServerTS() != p.OriginServerTS || e.PrevEvents()[0] != "$1:domain" {
		t.Errorf("version %s: %s", v.ID, e.JSON())
	}
}

// P-36, P-04 and malformed content are refused before anything is signed.
func TestBuildRefuses(t *testing.T) {
	v := version(t, "5")
	key := seedKey(t, "ed25519:1")
	empty := ""
	many := proto(v, "m.x", nil, `{}`)
	many.PrevEvents = make([]event.Ref, 21)
	sender := proto(v, "m.x", nil, `{}`)
	sender.Sender = "nobody"
	for name, p := range map[string]event.Proto{
		"string level": proto(v, "m.room.power_levels", &empty, `{"ban":"50"}`),
		"whole float":  proto(v, "m.room.power_levels", &empty, `{"ban":50.0}`),
		"large level":  proto(v, "m.room.power_levels", &empty, `{"ban":9007199254740992}`),
		"string user":  proto(v, "m.room.power_levels", &empty, `{"users":{"@a:b":"1"}}`),
		"string event": proto(v, "m.room.power_levels", &empty, `{"events":{"x":"1"}}`),
		"float level":  proto(v, "m.room.power_levels", &empty, `{"users":{"@a:b":50.5}}`),
		"array":        proto(v, "m.x", nil, `[]`),
		"no content":   proto(v, "m.x", nil, ``),
		"duplicate":    proto(v, "m.x", nil, `{"a":1,"a":2}`),
		"too long":     proto(v, "m.x", nil, `{"a":"`+strings.Repeat("x", event.MaxSize)+`"}`),
		"many parents": many,
		"sender":       sender,
	} {
		if e, err := event.Build(v, p, "domain", key); err == nil {
			t.Errorf("%s: built %.200s", name, e.JSON())
		}
	}
}

// P-05: depth stops at the cap.
func TestBuildDepthCap(t *testing.T) {
	for _, id := range allVersions {
		v := version(t, id)
		p := proto(v, "m.x", nil, `{}`)
		p.Depth = 1<<63 - 1
		e, err := event.Build(v, p, "domain", seedKey(t, "ed25519:1"))
		if err != nil || e.Depth() != v.MaxDepth {
			t.Errorf("version %s: %v", id, err)
		}
	}
}

func TestBuildRedaction(t *testing.T) {
	for _, id := range allVersions {
		v := version(t, id)
		p := proto(v, "m.room.redaction", nil, `{"reason":"r"}`)
		p.Redacts = "$x:domain"
		e, err := event.Build(v, p, "domain", seedKey(t, "ed25519:1"))
		if err != nil {
			t.Fatal(err)
		}
		target, ok := e.Redacts()
		if !ok || target != p.Redacts || !e.Content().Get("reason").IsText("r") || e.Content().Has("redacts") != v.RedactsInContent {
			t.Errorf("version %s: %s", id, e.JSON())
		}
	}
}

// A template carries over, references with their hashes included, and has nothing that only a signer may set.
func TestTemplate(t *testing.T) {
	for _, id := range allVersions {
		v := version(t, id)
		key := "@u:domain"
		want := proto(v, "m.room.member", &key, `{"membership":"join"}`)
		if v.References == event.RefIDs {
			want.PrevEvents, want.AuthEvents = []event.Ref{{ID: "$1:domain"}}, []event.Ref{{ID: "$2:domain"}}
		}
		template, err := event.Template(v, want)
		if err != nil {
			t.Fatal(err)
		}
		if text := string(template); strings.Contains(text, "hashes") || strings.Contains(text, "signatures") || strings.Contains(text, "event_id") {
			t.Errorf("version %s: template %s", id, text)
		}
		got, err := event.FromTemplate(v, template)
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("version %s: %v (-want +got):\n%s", id, err, diff)
		}
		for _, bad := range []string{`null`, `[]`, `{}`, `{"type":1}`, strings.Replace(string(template), `"depth":7`, `"depth":"7"`, 1),
			strings.Replace(string(template), `"$1:domain"`, `1`, 1)} {
			if p, err := event.FromTemplate(v, []byte(bad)); err == nil {
				t.Errorf("version %s: template %s gave %+v", id, bad, p)
			}
		}
	}
}

// P-20: a second signature joins the first, and neither changes the id (P-19).
func TestSign(t *testing.T) {
	ring := &keyRing{keys: publicKeys(t, "domain ed25519:1", "domain ed25519:2", "other ed25519:1")}
	for _, id := range allVersions {
		v := version(t, id)
		first, err := event.Build(v, proto(v, "m.room.message", nil, `{"body":"x"}`), "domain", seedKey(t, "ed25519:1"))
		if err != nil {
			t.Fatal(err)
		}
		e := first
		for _, signer := range []struct {
			server ident.ServerName
			key    ident.KeyID
		}{{"other", "ed25519:1"}, {"domain", "ed25519:2"}, {"domain", "ed25519:2"}} {
			if e, err = e.Sign(signer.server, seedKey(t, signer.key)); err != nil {
				t.Fatal(err)
			}
		}
		domain, other := e.Signatures().Get("domain"), e.Signatures().Get("other")
		if e.ID() != first.ID() || domain.Len() != 2 || other.Len() != 1 || string(e.Content().Canonical()) != `{"body":"x"}` {
			t.Errorf("version %s: %s", id, e.JSON())
		}
		if errs := event.VerifySignatures(t.Context(), []*event.Event{e}, ring); errs[0] != nil {
			t.Errorf("version %s: %v", id, errs[0])
		}
	}
}
