// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import "testing"

// TestDeactivatedUsersLeave is Client-Server API, "Deactivating accounts": who has gone is in no room any more.
func TestDeactivatedUsersLeave(t *testing.T) {
	s := open(t)
	alice, bob := s.register("alice"), s.register("bob")
	room := s.ask("POST", "/_matrix/client/v3/createRoom", alice, object{"preset": "public_chat"}).text("room_id")
	if a := s.ask("POST", "/_matrix/client/v3/join/"+room, bob, object{}); a.status != 200 {
		t.Fatalf("join: %+v", a)
	}
	since := s.ask("GET", "/_matrix/client/v3/sync?timeout=0", alice, nil).text("next_batch")
	a := s.ask("POST", "/_matrix/client/v3/account/deactivate", bob, object{"auth": object{
		"type": "m.login.password", "identifier": object{"type": "m.id.user", "user": "bob"}, "password": "secret bob",
	}})
	if a.status != 200 {
		t.Fatalf("deactivate: %+v", a)
	}
	s.awaitRoom(alice, since, room, "bob leaves", hasEvent(func(e object) bool {
		content, _ := e["content"].(object)
		return e["state_key"] == "@bob:a.example" && content["membership"] == "leave"
	}))
}
