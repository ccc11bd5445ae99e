// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/signing"
)

var (
	joining = handshake{room: "!r:a.example", user: "@bob:b.example", membership: "join", content: map[string]any{"membership": "join"}}

	// What Synapse answers a make_join of room version 10 with, but for ids.
	makeJoinAnswer = `{"room_version":"10","event":{"auth_events":["$create","$power","$rules"],"content":{"membership":"join",
		"avatar_url":null,"displayname":null},"depth":7,"prev_events":["$tip"],"room_id":"!r:a.example","sender":"@bob:b.example",
		"state_key":"@bob:b.example","type":"m.room.member"}}`
)

func acceptAnswer(h handshake, answer string) (*event.Version, event.Proto, error) {
	return h.accept([]byte(answer), "a.example", "b.example")
}

// M-03, M-04: of the template we take where the event stands in the room; everything else is ours.
func TestTemplateIsTakenApart(t *testing.T) {
	key := "@bob:b.example"
	want := event.Proto{
		RoomID: "!r:a.example", Sender: "@bob:b.example", Type: "m.room.member", StateKey: &key, Content: []byte(`{"membership":"join"}`),
		PrevEvents: []event.Ref{{ID: "$tip"}}, AuthEvents: []event.Ref{{ID: "$create"}, {ID: "$power"}, {ID: "$rules"}}, Depth: 7,
	}
	foreign := strings.NewReplacer(
		`"avatar_url":null`, `"avatar_url":null,"join_authorised_via_users_server":"@eve:a.example","evil":[1]`,
		`"room_version":"10"`, `"room_version":"7"`, // before restricted rooms nobody authorises
		`"depth":7`, `"depth":7,"redacts":"$x","origin":"evil.example","origin_server_ts":1,"hashes":{},"signatures":{},"unsigned":{},"event_id":"$x"`,
	).Replace(makeJoinAnswer)
	for _, answer := range []string{makeJoinAnswer, foreign} {
		_, got, err := acceptAnswer(joining, answer)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n(-want +got):\n%s", answer, diff)
		}
	}
}

// M-02: without room_version the room is of version 1 or 2, where references carry hashes.
func TestTemplateOfVersionOne(t *testing.T) {
	hash := sha256.Sum256([]byte("tip"))
	pairs := `[["$tip:a.example",{"sha256":"` + signing.EncodeBase64(hash[:]) + `"}]]`
	answer := strings.NewReplacer(`"room_version":"10",`, ``, `["$tip"]`, pairs, `["$create","$power","$rules"]`, pairs).Replace(makeJoinAnswer)
	version, got, err := acceptAnswer(joining, answer)
	if err != nil {
		t.Fatal(err)
	}
	want := []event.Ref{{ID: "$tip:a.example", Hash: hash}}
	if diff := cmp.Diff(want, got.PrevEvents); diff != "" || version.ID != "1" {
		t.Errorf("version %s, prev_events (-want +got):\n%s", version.ID, diff)
	}
}

// M-14: the user who authorises a restricted join is the resident's.
func TestTemplateOfARestrictedRoom(t *testing.T) {
	for _, test := range []struct{ authoriser, want string }{
		{`"@mod:a.example"`, `{"join_authorised_via_users_server":"@mod:a.example","membership":"join"}`},
		{`"@mod:c.example"`, ""},
		{`"@bob:b.example"`, ""}, // we would vouch for ourselves
		{`"mod"`, ""},
		{`7`, ""},
	} {
		answer := strings.Replace(makeJoinAnswer, `"avatar_url":null`, `"join_authorised_via_users_server":`+test.authoriser, 1)
		_, got, err := acceptAnswer(joining, answer)
		if string(got.Content) != test.want || (err == nil) != (test.want != "") {
			t.Errorf("authoriser %s: content %s, %v; want %s", test.authoriser, got.Content, err, test.want)
		}
	}
}

// A template that differs from what was asked for, or that would make an event nobody takes, is not signed.
func TestTemplateRefused(t *testing.T) {
	many := strings.Repeat(`"$x",`, 20) + `"$x"`
	for _, test := range []struct{ name, old, new string }{
		{"of another type", `"type":"m.room.member"`, `"type":"m.room.power_levels"`},
		{"of another room", `"room_id":"!r:a.example"`, `"room_id":"!s:a.example"`},
		{"by another sender", `"sender":"@bob:b.example"`, `"sender":"@eve:b.example"`},
		{"about another user", `"state_key":"@bob:b.example"`, `"state_key":"@eve:b.example"`},
		{"without a state key", `"state_key":"@bob:b.example",`, ``},
		{"another membership", `"membership":"join"`, `"membership":"leave"`},
		{"membership that is no string", `"membership":"join"`, `"membership":["join"]`},
		{"unknown room version", `"room_version":"10"`, `"room_version":"99"`},
		{"room version that is no string", `"room_version":"10"`, `"room_version":10`},
		{"no event", `"event":`, `"no_event":`},
		{"no depth", `"depth":7,`, ``},
		{"negative depth", `"depth":7`, `"depth":-7`},
		{"depth that is no integer", `"depth":7`, `"depth":7.5`},
		{"depth above the version's", `"depth":7`, `"depth":9007199254740992`},
		{"no prev_events", `["$tip"]`, `[]`},
		{"too many prev_events", `["$tip"]`, `[` + many + `]`},
		{"too many auth_events", `"$create",`, `"$a","$b","$c","$d","$e","$f","$g","$h","$create",`},
		{"references in the form of version 1", `["$tip"]`, `[["$tip",{"sha256":""}]]`},
		{"references that are no ids", `["$tip"]`, `["tip"]`},
		{"a key twice", `"depth":7`, `"depth":7,"depth":8`},
	} {
		answer := strings.Replace(makeJoinAnswer, test.old, test.new, 1)
		if answer == makeJoinAnswer {
			t.Fatalf("%s: nothing replaced", test.name)
		}
		if _, _, err := acceptAnswer(joining, answer); err == nil {
			t.Errorf("%s: accepted", test.name)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add([]byte(makeJoinAnswer))
	f.Add([]byte(`{"event":{"prev_events":[["$a:b",{"sha256":"x"}]]}}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		version, proto, err := joining.accept(answer, "a.example", "b.example")
		if err != nil {
			return
		}
		if version == nil || proto.Sender != joining.user || proto.RoomID != joining.room || proto.Depth < 1 ||
			len(proto.PrevEvents) == 0 || len(proto.PrevEvents) > 20 || len(proto.AuthEvents) > 10 {
			t.Errorf("accepted %s as %+v", answer, proto)
		}
	})
}
