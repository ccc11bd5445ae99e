// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"fmt"
	"testing"
)

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
	since := ""
	awaitUnread := func(when string, want float64) {
		t.Helper()
		since = s.awaitRoom(bob, since, room, fmt.Sprintf("%v unread %s", want, when), func(told object) bool {
			counts, _ := told["unread_notifications"].(object)
			return counts["notification_count"] == want
		})
	}
	do("POST", "join/"+room, bob, object{})
	do("PUT", "rooms/"+room+"/send/m.room.message/1", alice, object{"msgtype": "m.text", "body": "hello"})
	awaitUnread("before he leaves", 1)
	do("POST", "rooms/"+room+"/leave", bob, object{})
	do("POST", "join/"+room, bob, object{})
	awaitUnread("after he has come back", 0)
}
