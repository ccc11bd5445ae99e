// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// memberEvent is a signed member event of version 10.
func memberEvent(t testing.TB, user ident.UserID, content string) *event.Event {
	t.Helper()
	version, _ := event.VersionOf("10")
	key, err := signing.NewKey("ed25519:1", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	name := string(user)
	built, err := event.Build(version, event.Proto{
		RoomID: "!r:a.example", Sender: user, Type: "m.room.member", StateKey: &name, Content: []byte(content),
		PrevEvents: []event.Ref{{ID: "$p"}}, AuthEvents: []event.Ref{{ID: "$a"}}, Depth: 7, OriginServerTS: 1,
	}, user.Server(), key)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func ids(events []*event.Event) []ident.EventID {
	var list []ident.EventID
	for _, e := range events {
		list = append(list, e.ID())
	}
	return list
}

func TestJoinReply(t *testing.T) {
	join := memberEvent(t, "@bob:b.example", `{"membership":"join"}`)
	alice, carol := memberEvent(t, "@alice:a.example", `{"membership":"join"}`), memberEvent(t, "@carol:c.example", `{"membership":"join"}`)
	events := func(list ...string) string { return "[" + strings.Join(list, ",") + "]" }
	whole := `{"state":` + events(string(alice.JSON()), `{"type":"broken"}`, string(carol.JSON())) + `,"auth_chain":` + events(string(alice.JSON())) + `}`
	reply, err := readJoinReply(join, []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]ident.EventID{alice.ID(), carol.ID()}, ids(reply.state)); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]ident.EventID{alice.ID()}, ids(reply.authChain)); diff != "" {
		t.Errorf("auth chain (-want +got):\n%s", diff)
	}
	if reply.join != join || reply.unreadable != 1 {
		t.Errorf("join %s, %d unreadable; want ours and 1", reply.join.ID(), reply.unreadable)
	}
	for _, bad := range []string{
		`[]`, `{}`, `{"state":[]}`, `{"state":{},"auth_chain":[]}`,
		`{"state":[],"state":[],"auth_chain":[]}`, `{"state":[],"auth_chain":[]`,
	} {
		if _, err := readJoinReply(join, []byte(bad)); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

// M-09: a join that another server's user authorised is used as that server signed it, and only if it is the same event.
func TestJoinReplyOfARestrictedRoom(t *testing.T) {
	join := memberEvent(t, "@bob:b.example", `{"join_authorised_via_users_server":"@mod:a.example","membership":"join"}`)
	key, err := signing.NewKey("ed25519:1", make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := join.Sign("a.example", key)
	if err != nil {
		t.Fatal(err)
	}
	reply, err := readJoinReply(join, []byte(`{"state":[],"auth_chain":[],"event":`+string(signed.JSON())+`}`))
	if err != nil || !reply.join.Signatures().Has("a.example") || !reply.join.Signatures().Has("b.example") {
		t.Errorf("join %v, %v; want both signatures", reply.join, err)
	}
	other := memberEvent(t, "@bob:b.example", `{"displayname":"x","join_authorised_via_users_server":"@mod:a.example","membership":"join"}`)
	changed := strings.Replace(string(signed.JSON()), `"membership":"join"`, `"membership":"join","displayname":"x"`, 1)
	for _, bad := range []string{`{}`, `null`, string(other.JSON()), changed} {
		if _, err := readJoinReply(join, []byte(`{"state":[],"auth_chain":[],"event":`+bad+`}`)); err == nil {
			t.Errorf("event %s was accepted", bad)
		}
	}
	if _, err := readJoinReply(join, []byte(`{"state":[],"auth_chain":[]}`)); err == nil {
		t.Error("an answer without the event was accepted")
	}
}

// M-103: of the resident's copy of a join the policy server's signature is kept, if it is good, and nothing else: not what it lacks, and
// no other event.
func TestJoinReplyOfAPolicedRoom(t *testing.T) {
	join := memberEvent(t, "@bob:b.example", `{"membership":"join"}`)
	key, err := signing.NewKey("ed25519:policy_server", []byte("a policy server, and its own key"))
	if err != nil {
		t.Fatal(err)
	}
	version, name := join.Version(), ""
	named, err := event.Build(version, event.Proto{
		RoomID: "!r:a.example", Sender: "@alice:a.example", Type: "m.room.policy", StateKey: &name, Depth: 6, OriginServerTS: 1,
		Content:    []byte(`{"via":"p.example","public_keys":{"ed25519":"` + signing.EncodeBase64(key.Public()) + `"}}`),
		PrevEvents: []event.Ref{{ID: "$p"}}, AuthEvents: []event.Ref{{ID: "$a"}},
	}, "a.example", key)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(e *event.Event) string {
		signed, err := e.Sign("p.example", key)
		if err != nil {
			t.Fatal(err)
		}
		return string(signed.JSON())
	}
	signed := sign(join)
	for name, tt := range map[string]struct {
		state, copy string
		want        bool
	}{
		"signed":            {string(named.JSON()), signed, true},
		"without the rest":  {string(named.JSON()), strings.Replace(signed, `"b.example":`, `"c.example":`, 1), true},
		"no policy server":  {"", signed, false},
		"no copy":           {string(named.JSON()), `null`, false},
		"not signed":        {string(named.JSON()), string(join.JSON()), false},
		"bad signature":     {string(named.JSON()), strings.Replace(signed, `"ed25519:policy_server":"`, `"ed25519:policy_server":"AAAA`, 1), false},
		"of another event":  {string(named.JSON()), sign(memberEvent(t, "@bob:b.example", `{"displayname":"x","membership":"leave"}`)), false},
		"signatures absent": {string(named.JSON()), `{"signatures":7}`, false},
	} {
		reply, err := readJoinReply(join, []byte(`{"state":[`+tt.state+`],"auth_chain":[],"event":`+tt.copy+`}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		all := reply.join.Signatures()
		if got := all.Get("p.example").Has("ed25519:policy_server"); got != tt.want || !all.Has("b.example") || all.Has("c.example") || reply.join.ID() != join.ID() {
			t.Errorf("%s: signatures %s", name, all.Canonical())
		}
	}
}

func FuzzJoinReply(f *testing.F) {
	join := memberEvent(f, "@bob:b.example", `{"join_authorised_via_users_server":"@mod:a.example","membership":"join"}`)
	f.Add([]byte(`{"state":[` + string(join.JSON()) + `],"auth_chain":[],"event":` + string(join.JSON()) + `}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		reply, err := readJoinReply(join, body)
		if err == nil && reply.join.ID() != join.ID() {
			t.Errorf("the join became %s", reply.join.ID())
		}
	})
}

// M-15: only conditions of the one known type, with a room id, count; their number is bounded.
func TestAllowedRooms(t *testing.T) {
	condition := `{"type":"m.room_membership","room_id":"!r:a.example"}`
	for _, test := range []struct {
		allow string
		want  int
	}{
		{`[` + condition + `]`, 1},
		{`[{"type":"other","room_id":"!r:a.example"},{"type":"m.room_membership"},{"type":"m.room_membership","room_id":7},7,null,` + condition + `]`, 1},
		{`[{"type":"m.room_membership","room_id":"not a room"}]`, 0},
		{`[]`, 0}, {`{}`, 0}, {`"all"`, 0},
		{`[` + strings.Repeat(condition+",", 1999) + condition + `]`, 1000},
	} {
		allow, err := canonicaljson.Parse([]byte(test.allow), canonicaljson.Strict)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(allowedRooms(allow)); got != test.want {
			t.Errorf("%.80s: %d rooms, want %d", test.allow, got, test.want)
		}
	}
}
