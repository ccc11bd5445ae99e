// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import "testing"

// TestBlockedInvites is M-37: who blocks invitations gets none, and who invites is told so.
func TestBlockedInvites(t *testing.T) {
	s := open(t)
	alice, bob := s.register("alice"), s.register("bob")
	room := s.ask("POST", "/_matrix/client/v3/createRoom", alice, object{"preset": "private_chat"}).text("room_id")
	invite := func() answer {
		return s.ask("POST", "/_matrix/client/v3/rooms/"+room+"/invite", alice, object{"user_id": "@bob:a.example"})
	}
	const config = "/_matrix/client/v3/user/@bob:a.example/account_data/m.invite_permission_config"
	if a := s.ask("PUT", config, bob, object{"default_action": "block"}); a.status != 200 {
		t.Fatalf("block: %+v", a)
	}
	if a := invite(); a.status != 403 || a.code() != "M_INVITE_BLOCKED" {
		t.Errorf("blocked: %+v", a)
	}
	if a := s.ask("PUT", config, bob, object{}); a.status != 200 {
		t.Fatalf("unblock: %+v", a)
	}
	if a := invite(); a.status != 200 {
		t.Errorf("not blocked: %+v", a)
	}
}
