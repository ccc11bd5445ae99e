// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"strings"
	"testing"
)

// TestProfile is M-68: what a user shows, and that rooms come to show it.
func TestProfile(t *testing.T) {
	s := open(t)
	alice := s.register("alice")
	const mine = "/_matrix/client/v3/profile/@alice:a.example"
	room := s.ask("POST", "/_matrix/client/v3/createRoom", alice, object{"preset": "private_chat"}).text("room_id")
	if a := s.ask("GET", mine, "", nil); a.status != 200 || len(a.members) != 0 {
		t.Errorf("a profile that nobody wrote: %+v", a)
	}
	since := s.ask("GET", "/_matrix/client/v3/sync?timeout=0", alice, nil).text("next_batch")
	for field, value := range map[string]any{"displayname": "Alice", "avatar_url": "mxc://a.example/x", "org.test.mood": object{"good": true}} {
		if a := s.ask("PUT", mine+"/"+field, alice, object{field: value}); a.status != 200 {
			t.Errorf("%s: %+v", field, a)
		}
	}
	if a := s.ask("GET", mine, "", nil); a.text("displayname") != "Alice" || a.text("avatar_url") != "mxc://a.example/x" || a.members["org.test.mood"] == nil {
		t.Errorf("the profile: %+v", a)
	}
	if a := s.ask("GET", mine+"/displayname", "", nil); a.text("displayname") != "Alice" || len(a.members) != 1 {
		t.Errorf("a field: %+v", a)
	}
	s.awaitRoom(alice, since, room, "the room shows the profile", hasEvent(func(e object) bool {
		content, _ := e["content"].(object)
		return e["state_key"] == "@alice:a.example" && content["displayname"] == "Alice" && content["avatar_url"] == "mxc://a.example/x"
	}))
	if a := s.ask("DELETE", mine+"/avatar_url", alice, nil); a.status != 200 {
		t.Errorf("delete: %+v", a)
	}
	if a := s.ask("GET", mine+"/avatar_url", "", nil); a.status != 404 || a.code() != "M_NOT_FOUND" {
		t.Errorf("a field that is not set: %+v", a)
	}

	bob := s.register("bob")
	for name, a := range map[string]answer{
		"M_FORBIDDEN":         s.ask("PUT", mine+"/displayname", bob, object{"displayname": "Mallory"}),
		"M_NOT_FOUND":         s.ask("GET", strings.Replace(mine, "alice", "nobody", 1), "", nil),
		"M_MISSING_PARAM":     s.ask("PUT", mine+"/displayname", alice, object{"name": "x"}),
		"M_BAD_JSON":          s.ask("PUT", mine+"/displayname", alice, object{"displayname": 7}),
		"M_INVALID_PARAM":     s.ask("PUT", mine+"/displayname", alice, object{"displayname": strings.Repeat("x", 257)}),
		"M_KEY_TOO_LARGE":     s.ask("PUT", mine+"/"+strings.Repeat("x", 256), alice, object{}),
		"M_PROFILE_TOO_LARGE": s.ask("PUT", mine+"/org.test.long", alice, object{"org.test.long": strings.Repeat("x", 64<<10)}),
	} {
		if a.code() != name {
			t.Errorf("want %s, got %+v", name, a)
		}
	}
}
