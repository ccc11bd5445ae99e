// SPDX-License-Identifier: Apache-2.0

package homeserver_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestNotifications is the Client-Server API's "Listing Notifications": what notified a user, newest first, with what the rule that matched
// does; the actions are those of the default rules .m.rule.message and .m.rule.is_user_mention.
func TestNotifications(t *testing.T) {
	s := open(t)
	alice, bob, carol := s.register("alice"), s.register("bob"), s.register("carol")
	const v3 = "/_matrix/client/v3/"
	room := s.ask("POST", v3+"createRoom", alice, object{"preset": "public_chat"}).text("room_id")
	for _, token := range []string{bob, carol} {
		s.ask("POST", v3+"join/"+room, token, object{})
	}
	send := func(txn string, content object) string {
		t.Helper()
		a := s.ask("PUT", v3+"rooms/"+room+"/send/m.room.message/"+txn, alice, content)
		if a.status != 200 {
			t.Fatalf("send: %+v", a)
		}
		return a.text("event_id")
	}
	since := s.ask("GET", v3+"sync?timeout=0", bob, nil).text("next_batch")
	first := send("1", object{"msgtype": "m.text", "body": "one"})
	second := send("2", object{"msgtype": "m.text", "body": "bob", "m.mentions": object{"user_ids": []string{"@bob:a.example"}}})
	third := send("3", object{"msgtype": "m.text", "body": "three"})
	s.awaitRoom(bob, since, room, "the third event", hasEvent(func(e object) bool { return e["event_id"] == third }))

	plain := []any{"notify"}
	mention := []any{"notify", object{"set_tweak": "sound", "value": "default"}, object{"set_tweak": "highlight"}}
	list := func(query string, want ...[]any) (next string) {
		t.Helper()
		a := s.ask("GET", v3+"notifications"+query, bob, nil)
		var got [][]any
		notifications, _ := a.members["notifications"].([]any)
		for _, n := range notifications {
			n := n.(object)
			e := n["event"].(object)
			if n["room_id"] != room || e["room_id"] != room || e["sender"] != "@alice:a.example" || n["ts"].(float64) < 1.6e12 {
				t.Errorf("%s: %v", query, n)
			}
			got = append(got, []any{e["event_id"], n["actions"], n["read"]})
		}
		if diff := cmp.Diff(want, got); diff != "" || a.status != 200 || notifications == nil {
			t.Errorf("%s: %d %v (-want +got):\n%s", query, a.status, a.members, diff)
		}
		return a.text("next_token")
	}
	list("", []any{third, plain, false}, []any{second, mention, false}, []any{first, plain, false})
	list("?only=highlight", []any{second, mention, false})
	next := list("?limit=2", []any{third, plain, false}, []any{second, mention, false})
	if next = list("?limit=2&from="+next, []any{first, plain, false}); next != "" {
		t.Errorf("after the last page there is %q", next)
	}
	if a := s.ask("POST", v3+"rooms/"+room+"/receipt/m.read/"+second, bob, object{}); a.status != 200 {
		t.Fatalf("receipt: %+v", a)
	}
	list("", []any{third, plain, false}, []any{second, mention, true}, []any{first, plain, true})
	for query, code := range map[string]string{"?from=x": "M_INVALID_PARAM", "?limit=-1": "M_INVALID_PARAM"} {
		if a := s.ask("GET", v3+"notifications"+query, bob, nil); a.status != 400 || a.code() != code {
			t.Errorf("%s: %+v", query, a)
		}
	}
	if a := s.ask("GET", v3+"notifications", alice, nil); fmt.Sprint(a.members["notifications"]) != "[]" {
		t.Errorf("alice was notified of %v", a.members)
	}
}
