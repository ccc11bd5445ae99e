// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import "testing"

// TestWhoLeftHasNothingUnread is S-20: who comes back to a room is not told of what they did not read before they left.
func TestWhoLeftHasNothingUnread(t *testing.T) {
	s := open(t)
	alice, bob := s.register("alice"), s.register("bob")
	const v3 = "/_matrix/client/v3/"
	room := s.ask("POST", v3+"createRoom", alice, object{"preset": "public_chat"}).text("room_id")
	do := func(method, path, token string, body any) {
		t.Helper()
		if a := s.ask(method, v3+path, token, body); a.status != 200 {
			t.Fatalf("%s %s: %+v", method, path, a)
		}
	}
	// awaitUnread syncs until what bob is told of the room is so many unread.
	since := ""
	awaitUnread := func(when string, want any) {
		t.Helper()
		var last any
		for range 20 {
			a := s.ask("GET", v3+"sync?timeout=500&since="+since, bob, nil)
			since = a.text("next_batch")
			rooms, _ := a.members["rooms"].(object)
			joined, _ := rooms["join"].(object)
			of, _ := joined[room].(object)
			if counts, ok := of["unread_notifications"].(object); ok {
				if last = counts["notification_count"]; last == want {
					return
				}
			}
		}
		t.Errorf("%s bob has %v unread, want %v", when, last, want)
	}
	do("POST", "join/"+room, bob, object{})
	do("PUT", "rooms/"+room+"/send/m.room.message/1", alice, object{"msgtype": "m.text", "body": "hello"})
	awaitUnread("before he leaves", 1.0)
	do("POST", "rooms/"+room+"/leave", bob, object{})
	do("POST", "join/"+room, bob, object{})
	awaitUnread("after he has come back", 0.0)
}
