// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestState(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"preset":"public_chat"}`)
		id := a.ok(alice, "PUT", in(room, "state/org.x/k"), `{"n":1}`, "event_id")
		a.ok(alice, "PUT", in(room, "state/org.x/"), `{"n":2}`, "event_id")
		a.ok(alice, "PUT", in(room, "state/org.y"), `{"n":3}`, "event_id")
		if again := a.ok(alice, "PUT", in(room, "state/org.x/k"), `{ "n" : 1 }`, "event_id"); again != id {
			t.Errorf("the same state once more is %s, want %s: nothing has changed", again, id)
		}
		a.refused(carol, "PUT", in(room, "state/org.x/k"), `{"n":1}`, 403, "M_FORBIDDEN")
		a.Want(t, alice, "GET", in(room, "state/org.x/k"), "", 200, `{"n":1}`)
		a.Want(t, alice, "GET", in(room, "state/org.x/"), "", 200, `{"n":2}`)
		a.Want(t, alice, "GET", in(room, "state/org.x"), "", 200, `{"n":2}`)
		a.Want(t, alice, "GET", in(room, "state/org.y/"), "", 200, `{"n":3}`)
		status, answer := a.Do(t, alice, "GET", in(room, "state/org.x/k?format=event"), "")
		if status != 200 || textOf(t, answer, "event_id") != id || textOf(t, answer, "room_id") != room || textOf(t, answer, "sender") != alice {
			t.Errorf("format=event: %d %s", status, answer)
		}
		a.refused(alice, "GET", in(room, "state/org.x/none"), "", 404, "M_NOT_FOUND")
		a.refused(alice, "GET", in(room, "state/org.x/k?format=odd"), "", 400, "M_INVALID_PARAM")
		a.refused(carol, "GET", in(room, "state/org.x/k"), "", 403, "M_FORBIDDEN")
		a.refused(carol, "GET", in(room, "state"), "", 403, "M_FORBIDDEN")
		a.refused(alice, "GET", in("!none:a.example", "state"), "", 403, "M_FORBIDDEN")
	})
}

// "If the user has left the room then the state is returned as it was when they left" (YC/rooms); what the world may read, anyone may.
func TestStateOfTheLeft(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"preset":"public_chat"}`)
		a.ok(carol, "POST", v3+"join/"+room, ``, "room_id")
		a.ok(alice, "PUT", in(room, "state/org.x/"), `{"n":1}`, "event_id")
		a.ok(carol, "POST", in(room, "leave"), ``, "")
		a.ok(alice, "PUT", in(room, "state/org.x/"), `{"n":2}`, "event_id")
		a.ok(alice, "PUT", in(room, "state/org.y/"), `{"n":2}`, "event_id")
		a.Want(t, carol, "GET", in(room, "state/org.x/"), "", 200, `{"n":1}`)
		a.refused(carol, "GET", in(room, "state/org.y/"), "", 404, "M_NOT_FOUND")
		a.Want(t, carol, "GET", in(room, "state/m.room.member/"+carol), "", 200, `{"membership":"leave"}`)
		members := map[string]string{}
		_, answer := a.Do(t, carol, "GET", in(room, "state"), "")
		var events []struct {
			Type    string         `json:"type"`
			Key     string         `json:"state_key"`
			Content map[string]any `json:"content"`
		}
		if err := json.Unmarshal(answer, &events); err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Type == "m.room.member" {
				members[e.Key], _ = e.Content["membership"].(string)
			}
		}
		if diff := cmp.Diff(map[string]string{alice: "join", carol: "leave"}, members); diff != "" {
			t.Error(diff)
		}
		a.ok(alice, "PUT", in(room, "state/m.room.history_visibility/"), `{"history_visibility":"world_readable"}`, "event_id")
		a.Want(t, "@dan:a.example", "GET", in(room, "state/org.x/"), "", 200, `{"n":2}`)
	})
}

func TestJoinOverFederation(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, b *host) {
		room := a.room(alice, `{"preset":"public_chat","name":"N"}`)
		b.refused(bob, "POST", v3+"join/"+room, ``, 404, "M_NOT_FOUND") // nobody to ask
		if got := b.ok(bob, "POST", v3+"join/"+room+"?via=a.example", ``, "room_id"); got != room {
			t.Errorf("joined %s, want %s", got, room)
		}
		b.Want(t, bob, "GET", in(room, "state/m.room.name"), "", 200, `{"name":"N"}`)
		b.ok(bob, "PUT", in(room, "send/m.room.message/1"), `{"msgtype":"m.text","body":"hi"}`, "event_id")
		settle()
		order, _ := a.firstState(room)
		if got := order[len(order)-1]; got != "m.room.message" {
			t.Errorf("the last event at a.example is %s, want bob's message", got)
		}
		closed := a.room(alice, ``)
		b.refused(bob, "POST", v3+"join/"+closed+"?server_name=a.example", ``, 403, "M_FORBIDDEN")
		b.ok(bob, "POST", in(room, "leave"), ``, "")
		settle()
		a.Want(t, alice, "GET", in(room, "state/m.room.member/"+bob), "", 200, `{"membership":"leave"}`)
	})
}
