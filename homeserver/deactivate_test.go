// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"testing"
	"time"
)

// TestDeactivatedUsersLeave is Client-Server API, "Deactivating accounts": who has gone is in no room any more.
func TestDeactivatedUsersLeave(t *testing.T) {
	s := open(t)
	alice, bob := s.register("alice"), s.register("bob")
	room := s.ask("POST", "/_matrix/client/v3/createRoom", alice, object{"preset": "public_chat"}).text("room_id")
	if a := s.ask("POST", "/_matrix/client/v3/join/"+room, bob, object{}); a.status != 200 {
		t.Fatalf("join: %+v", a)
	}
	a := s.ask("POST", "/_matrix/client/v3/account/deactivate", bob, object{"auth": object{
		"type": "m.login.password", "identifier": object{"type": "m.id.user", "user": "bob"}, "password": "secret bob",
	}})
	if a.status != 200 {
		t.Fatalf("deactivate: %+v", a)
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		a := s.ask("GET", "/_matrix/client/v3/rooms/"+room+"/state/m.room.member/@bob:a.example", alice, nil)
		if a.text("membership") == "leave" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("bob is still %+v", a)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
