// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transport/ident"
)

// pair opens two servers whose homeservers answer.
func pair(n *network) (a, b *messaging.Server, atA *core) {
	atA = &core{}
	return n.open("a.example", "", atA.with), n.open("b.example", "", (&core{}).with), atA
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func TestQueryProfile(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		_, b, atA := pair(n)
		atA.profiles = map[ident.UserID]map[string]json.RawMessage{alice: {"displayname": raw(`"Alice"`), "m.tz": raw(`"Nowhere/Land"`), "org.x": raw(`{"k":1}`)}}
		all := must[map[string]json.RawMessage](t)(b.QueryProfile(ctx, alice, ""))
		if diff := cmp.Diff(atA.profiles[alice], all); diff != "" {
			t.Errorf("whole profile (M-68) (-want +got):\n%s", diff)
		}
		one := must[map[string]json.RawMessage](t)(b.QueryProfile(ctx, alice, "displayname"))
		if diff := cmp.Diff(map[string]json.RawMessage{"displayname": raw(`"Alice"`)}, one); diff != "" {
			t.Errorf("one field (-want +got):\n%s", diff)
		}
		for user, field := range map[ident.UserID]string{"@nobody:a.example": "", alice: "avatar_url"} {
			if _, err := b.QueryProfile(ctx, user, field); refusal(err) != "404 M_NOT_FOUND" {
				t.Errorf("%s of %s: %v", field, user, err)
			}
		}
		if _, err := b.QueryProfile(ctx, bob, ""); !errors.Is(err, messaging.ErrOurs) {
			t.Errorf("a user of our own: %v", err)
		}
		if _, err := b.QueryProfile(ctx, "@z:down.example", ""); err == nil || !strings.Contains(err.Error(), "down.example") {
			t.Errorf("a server that is down is not named: %v", err)
		}
	})
}

func TestResolveAlias(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, b, atA := pair(n)
		room := versionTen(t, a, true)
		atA.aliases = map[ident.RoomAlias]messaging.AliasTarget{
			"#here:a.example":  {Room: room},
			"#there:a.example": {Room: "!there:c.example", Servers: []ident.ServerName{"c.example"}},
		}
		for alias, want := range map[ident.RoomAlias]messaging.AliasTarget{
			"#here:a.example":  {Room: room, Servers: []ident.ServerName{"a.example"}},
			"#there:a.example": {Room: "!there:c.example", Servers: []ident.ServerName{"c.example", "a.example"}},
		} {
			got := must[messaging.AliasTarget](t)(b.ResolveAlias(ctx, alias))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", alias, diff)
			}
		}
		if _, err := b.ResolveAlias(ctx, "#none:a.example"); refusal(err) != "404 M_NOT_FOUND" {
			t.Errorf("an alias that there is not: %v", err)
		}
	})
}

func TestPublicRooms(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		_, b, atA := pair(n)
		total := 7
		atA.page = messaging.PublicRoomsPage{
			Rooms:     []messaging.RoomSummary{{Room: "!r:a.example", Name: "R", Members: 3, WorldReadable: true, JoinRule: "public"}},
			NextBatch: "on", PrevBatch: "back", Total: &total,
		}
		space := "m.space"
		for _, tt := range []struct{ ask, want messaging.PublicRoomsQuery }{
			{messaging.PublicRoomsQuery{}, messaging.PublicRoomsQuery{Limit: 500}}, // no limit is the page that we give (M-71)
			{messaging.PublicRoomsQuery{Limit: 3, Since: "t/+", AllNetworks: true}, messaging.PublicRoomsQuery{Limit: 3, Since: "t/+", AllNetworks: true}},
			{messaging.PublicRoomsQuery{Limit: 9000, Search: "x", RoomTypes: []*string{nil, &space}, Instance: "irc"},
				messaging.PublicRoomsQuery{Limit: 500, Search: "x", RoomTypes: []*string{nil, &space}, Instance: "irc"}},
			{messaging.PublicRoomsQuery{RoomTypes: []*string{}}, messaging.PublicRoomsQuery{Limit: 500, RoomTypes: []*string{}}},
		} {
			atA.asked = nil
			page := must[messaging.PublicRoomsPage](t)(b.PublicRoomsOf(ctx, "a.example", tt.ask))
			if diff := cmp.Diff(atA.page, page); diff != "" {
				t.Errorf("%+v: page (-want +got):\n%s", tt.ask, diff)
			}
			if diff := cmp.Diff([]messaging.PublicRoomsQuery{tt.want}, atA.asked); diff != "" {
				t.Errorf("%+v: asked (-want +got):\n%s", tt.ask, diff)
			}
		}
		x := n.peer("x.example")
		for _, query := range []map[string][]string{{"limit": {"-1"}}, {"limit": {"x"}}, {"include_all_networks": {"perhaps"}}} {
			if _, err := x.do(ctx, "a.example", "GET", query, nil, "v1", "publicRooms"); refusal(err) != "400 M_INVALID_PARAM" {
				t.Errorf("%v: %v", query, err)
			}
		}
		for _, body := range []string{`{"limit":"1"}`, `{"since":1}`, `{"filter":{"generic_search_term":[]}}`, `{"filter":{"room_types":"m.space"}}`,
			`{"filter":{"room_types":[1]}}`, `{"include_all_networks":1}`} {
			if _, err := x.do(ctx, "a.example", "POST", nil, []byte(body), "v1", "publicRooms"); refusal(err) != "400 M_INVALID_PARAM" {
				t.Errorf("%s: %v", body, err)
			}
		}
	})
}

// Only the server that owns a token may say whose it is (M-70).
func TestOpenID(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		_, b, atA := pair(n)
		atA.tokens = map[string]ident.UserID{"good": alice, "liar": bob}
		if user := must[ident.UserID](t)(b.OpenIDUserInfo(ctx, "a.example", "good")); user != alice {
			t.Errorf("user %s", user)
		}
		for token, want := range map[string]string{"bad": "401 M_UNKNOWN_TOKEN", "": "401 M_MISSING_TOKEN"} {
			if _, err := b.OpenIDUserInfo(ctx, "a.example", token); refusal(err) != want {
				t.Errorf("%q: %v", token, err)
			}
		}
		if user, err := b.OpenIDUserInfo(ctx, "a.example", "liar"); err == nil {
			t.Errorf("a.example spoke for %s", user)
		}
	})
}

func TestKeysBetweenServers(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		_, b, atA := pair(n)
		atA.addDevice(alice, "ONE", "one")
		atA.addDevice(alice, "TWO", "")
		atA.devices[alice] = messaging.UserDevices{User: alice, Devices: atA.devices[alice].Devices, SigningKeys: messaging.SigningKeys{Master: signingKey(alice, "master")}}
		atA.oneTime = map[ident.UserID]map[string][]string{alice: {"ONE": {"AAA", "BBB"}}}

		list := must[messaging.UserDevices](t)(b.UserDevices(ctx, alice))
		if diff := cmp.Diff(atA.devices[alice], list); diff != "" {
			t.Errorf("devices (-want +got):\n%s", diff)
		}
		if _, err := b.UserDevices(ctx, "@nobody:a.example"); refusal(err) != "404 M_NOT_FOUND" {
			t.Errorf("devices of nobody: %v", err)
		}
		got := must[messaging.Keys](t)(b.QueryKeys(ctx, "a.example", map[ident.UserID][]string{alice: {"TWO"}, "@nobody:a.example": nil}))
		want := messaging.Keys{
			Devices:     map[ident.UserID]map[string]json.RawMessage{alice: {"TWO": deviceKeys(alice, "TWO")}, "@nobody:a.example": {}},
			Master:      map[ident.UserID]json.RawMessage{alice: signingKey(alice, "master")},
			SelfSigning: map[ident.UserID]json.RawMessage{},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("keys (M-67) (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]ident.ServerName{"b.example"}, atA.askers); diff != "" {
			t.Errorf("askers (-want +got):\n%s", diff)
		}
		for _, key := range []string{"AAA", "BBB", ""} {
			claimed := must[messaging.ClaimedKeys](t)(b.ClaimKeys(ctx, "a.example", messaging.KeyClaims{alice: {"ONE": "signed_curve25519", "NONE": "signed_curve25519"}}))
			want := messaging.ClaimedKeys{}
			if key != "" {
				want[alice] = map[string]map[string]json.RawMessage{"ONE": {"signed_curve25519:" + key: raw(`{"key":"` + key + `"}`)}}
			}
			if diff := cmp.Diff(want, claimed); diff != "" {
				t.Errorf("claimed (M-66) (-want +got):\n%s", diff)
			}
		}
		if _, err := b.QueryKeys(ctx, "a.example", map[ident.UserID][]string{carol: nil}); err == nil {
			t.Error("a.example was asked about a user of c.example (M-65)")
		}
		// Who asks us about users of others gets nothing of them (M-65).
		x := n.peer("x.example")
		for path, body := range map[string]string{
			"query": `{"device_keys":{"@bob:b.example":[],"nonsense":[]}}`, "claim": `{"one_time_keys":{"@bob:b.example":{"D":"a"}}}`,
		} {
			answer := must[[]byte](t)(x.do(ctx, "a.example", "POST", nil, []byte(body), "v1", "user", "keys", path))
			want := map[string]string{"query": `{"device_keys":{}}`, "claim": `{"one_time_keys":{}}`}[path]
			if string(answer) != want {
				t.Errorf("%s: %s, want %s", path, answer, want)
			}
		}
		for path, bodies := range map[string][]string{
			"query": {`{}`, `{"device_keys":[]}`, `{"device_keys":{"@alice:a.example":null}}`, `{"device_keys":{"@alice:a.example":[1]}}`},
			"claim": {`{}`, `{"one_time_keys":7}`, `{"one_time_keys":{"@alice:a.example":{"D":1}}}`},
		} {
			for _, body := range bodies {
				if _, err := x.do(ctx, "a.example", "POST", nil, []byte(body), "v1", "user", "keys", path); refusal(err) != "400 M_INVALID_PARAM" {
					t.Errorf("%s %s: %v", path, body, err)
				}
			}
		}
	})
}

// A homeserver that has none of it answers as the specification says of what is not supported.
func TestQueriesWithoutCapabilities(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.open("a.example", "")
		x := n.peer("x.example")
		for _, path := range [][]string{
			{"GET", "query", "directory"}, {"GET", "publicRooms"}, {"POST", "publicRooms"}, {"GET", "openid", "userinfo"},
			{"GET", "user", "devices", string(alice)}, {"POST", "user", "keys", "query"}, {"POST", "user", "keys", "claim"}, {"GET", "query", "anything"},
		} {
			if _, err := x.do(t.Context(), "a.example", path[0], nil, nil, append([]string{"v1"}, path[1:]...)...); refusal(err) != "404 M_UNRECOGNIZED" {
				t.Errorf("%v: %v", path, err)
			}
		}
	})
}

// newSpace is a space of alice's that all may join.
func newSpace(t *testing.T, a *messaging.Server) ident.RoomID {
	t.Helper()
	key := ""
	member := string(alice)
	return must[ident.RoomID](t)(a.FoundRoom(t.Context(), messaging.Founding{
		Creator: alice, Version: "10", Content: map[string]string{"type": "m.space"}, First: []pdu.Draft{
			{Type: "m.room.member", StateKey: &member, Content: []byte(`{"membership":"join"}`)},
			{Type: "m.room.join_rules", StateKey: &key, Content: []byte(`{"join_rule":"public"}`)},
		},
	}))
}

// A space shows each server those of its rooms that the server could read or join, names those that it could not, and says nothing of
// rooms that it does not know (M-72).
func TestHierarchy(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, b := n.open("a.example", ""), n.open("b.example", "")
		space, open, closed := newSpace(t, a), versionTen(t, a, true), versionTen(t, a, false)
		set := func(room ident.RoomID, eventType, key string, content any) {
			t.Helper()
			must[ident.EventID](t)(a.SendState(ctx, room, alice, eventType, key, content))
		}
		child := func(room ident.RoomID, content map[string]any) { set(space, "m.space.child", string(room), content) }
		via := map[string]any{"via": []string{"a.example"}}
		set(open, "m.room.name", "", map[string]string{"name": "Open"})
		set(open, "m.room.topic", "", map[string]any{"topic": "old", "m.topic": map[string]any{"m.text": []any{
			map[string]string{"body": "<b>x</b>", "mimetype": "text/html"}, map[string]string{"body": "new"}}}})
		child(open, map[string]any{"via": []string{"a.example"}, "suggested": true})
		child(closed, via)
		child("!unknown:c.example", via)
		child("!gone:a.example", map[string]any{})
		child("nonsense", via)

		names := func(h messaging.Hierarchy) (list []string) {
			for _, c := range h.Room.ChildrenState {
				list = append(list, "child "+string(c.StateKey))
			}
			for _, c := range h.Children {
				list = append(list, fmt.Sprintf("room %s %s %q %q %d", c.Room, c.JoinRule, c.Name, c.Topic, c.Members))
			}
			for _, c := range h.Inaccessible {
				list = append(list, "closed "+string(c))
			}
			return list
		}
		opened := fmt.Sprintf(`room %s public "Open" "new" 1`, open)
		states := []string{"child " + string(open), "child " + string(closed), "child !unknown:c.example"}
		if open > closed {
			states[0], states[1] = states[1], states[0]
		}
		got := must[messaging.Hierarchy](t)(b.Hierarchy(ctx, space, []ident.ServerName{"down.example", "a.example"}, false))
		if diff := cmp.Diff(sorted(append(states, opened, "closed "+string(closed))), sorted(names(got))); diff != "" {
			t.Errorf("hierarchy (-want +got):\n%s", diff)
		}
		got = must[messaging.Hierarchy](t)(b.Hierarchy(ctx, space, []ident.ServerName{"a.example"}, true))
		if diff := cmp.Diff([]string{"child " + string(open), opened}, names(got)); diff != "" {
			t.Errorf("suggested only (-want +got):\n%s", diff)
		}
		set(open, "m.space.child", string(closed), via) // which is no space, and has no rooms in it
		if got := must[messaging.Hierarchy](t)(b.Hierarchy(ctx, open, []ident.ServerName{"a.example"}, false)); len(got.Room.ChildrenState)+len(got.Inaccessible) != 0 {
			t.Errorf("a room that is no space: %v", names(got))
		}
		// A restricted room is open to the members of the rooms that it names.
		set(closed, "m.room.join_rules", "", map[string]any{"join_rule": "restricted", "allow": []any{map[string]string{"type": "m.room_membership", "room_id": string(open)}}})
		if err := b.Join(ctx, bob, open, []ident.ServerName{"a.example"}); err != nil {
			t.Fatal(err)
		}
		settle()
		got = must[messaging.Hierarchy](t)(b.Hierarchy(ctx, space, []ident.ServerName{"a.example"}, false))
		if len(got.Children) != 2 || len(got.Inaccessible) != 0 {
			t.Errorf("restricted to members of a room that b.example is in: %v", names(got))
		}
		if _, err := b.Hierarchy(ctx, "!x:a.example", []ident.ServerName{"a.example"}, false); refusal(err) != "404 M_NOT_FOUND" {
			t.Errorf("a room that there is not: %v", err)
		}
		if _, err := b.Hierarchy(ctx, space, nil, false); !errors.Is(err, messaging.ErrNoServer) {
			t.Errorf("over nobody: %v", err)
		}
	})
}

// Answers count as far as they are about what was asked; a nonsensical one is an error that names the server.
func TestAnswersThatMakeNoSense(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		b, x := n.open("b.example", ""), n.peer("x.example")
		body := ""
		x.mux.HandleFunc("/_matrix/federation/v1/", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
		for _, tt := range []struct {
			ask  func() error
			body string
		}{
			{func() error { _, err := b.QueryProfile(ctx, xavier, ""); return err }, `[]`},
			{func() error { _, err := b.ResolveAlias(ctx, "#r:x.example"); return err }, `{"room_id":"r","servers":[]}`},
			{func() error { _, err := b.PublicRoomsOf(ctx, "x.example", messaging.PublicRoomsQuery{}); return err }, `{"chunk":{}}`},
			{func() error { _, err := b.UserDevices(ctx, xavier); return err }, `{"user_id":"@xavier:x.example","devices":[]}`},
			{func() error { _, err := b.UserDevices(ctx, xavier); return err }, `{"user_id":"@yves:x.example","stream_id":1,"devices":[]}`},
			{func() error { _, err := b.UserDevices(ctx, xavier); return err },
				`{"user_id":"@xavier:x.example","stream_id":1,"devices":[{"device_id":"A"},{"device_id":"A"}]}`},
			{func() error {
				_, err := b.QueryKeys(ctx, "x.example", map[ident.UserID][]string{xavier: nil})
				return err
			}, `{}`},
			{func() error {
				_, err := b.ClaimKeys(ctx, "x.example", messaging.KeyClaims{xavier: {"A": "a"}})
				return err
			}, `{"one_time_keys":[]}`},
			{func() error { _, err := b.OpenIDUserInfo(ctx, "x.example", "t"); return err }, `{"sub":"xavier"}`},
			{func() error { _, err := b.Hierarchy(ctx, "!s:x", []ident.ServerName{"x.example"}, false); return err },
				`{"room":{"room_id":"!t:x","num_joined_members":1},"children":[],"inaccessible_children":[]}`},
		} {
			body = tt.body
			if err := tt.ask(); err == nil || !strings.Contains(err.Error(), "x.example") {
				t.Errorf("%s: error %v does not name the server", tt.body, err)
			}
		}
		// What was not asked for, or speaks for others, is left out.
		body = fmt.Sprintf(`{"device_keys":{%q:{"A":%s,"B":%s},"@bob:b.example":{"C":%s}},"master_keys":{%q:%s,"@bob:b.example":%s}}`, xavier,
			deviceKeys(xavier, "A"), deviceKeys(xavier, "A"), deviceKeys(bob, "C"), xavier, signingKey(xavier, "self_signing"), signingKey(bob, "master"))
		keys := must[messaging.Keys](t)(b.QueryKeys(ctx, "x.example", map[ident.UserID][]string{xavier: nil}))
		if len(keys.Devices) != 1 || len(keys.Devices[xavier]) != 1 || keys.Devices[xavier]["A"] == nil || len(keys.Master) != 0 {
			t.Errorf("keys %v", keys)
		}
		body = `{"room":{"room_id":"!s:x","room_type":"m.space","num_joined_members":1,"children_state":[
			{"type":"m.space.child","state_key":"!a:x","sender":"@s:x","origin_server_ts":1,"content":{"via":["x"]}},
			{"type":"m.room.name","state_key":"!b:x","sender":"@s:x","origin_server_ts":1,"content":{"via":["x"]}}]},
			"children":[{"room_id":"!a:x","num_joined_members":1},{"room_id":"!a:x","num_joined_members":1},{"room_id":"!b:x","num_joined_members":1}],
			"inaccessible_children":["!a:x","!c:x",1]}`
		h := must[messaging.Hierarchy](t)(b.Hierarchy(ctx, "!s:x", []ident.ServerName{"x.example"}, false))
		if len(h.Room.ChildrenState) != 1 || len(h.Children) != 1 || len(h.Inaccessible) != 0 {
			t.Errorf("hierarchy %+v", h)
		}
	})
}
