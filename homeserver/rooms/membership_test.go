// SPDX-License-Identifier: Apache-2.0

package rooms_test

import (
	"encoding/json"
	"testing"

	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// membership is how a user stands to a room by the state of a server, with the whole content.
func (h *host) membership(as, room, user string) (content map[string]any) {
	h.t.Helper()
	status, answer := h.Do(h.t, as, "GET", in(room, "state/m.room.member/"+user), "")
	if status != 200 {
		h.t.Fatalf("membership of %s: %d %s", user, status, answer)
	}
	if err := json.Unmarshal(answer, &content); err != nil {
		h.t.Fatal(err)
	}
	return content
}

// standsOutside is how a user stands to a room that the server is not in.
func (h *host) standsOutside(room, user string) roomview.Membership {
	h.t.Helper()
	var stays []roomview.Membership
	err := h.server.Store().View(h.t.Context(), func(tx *persistence.Tx) (err error) {
		stays, err = roomview.Stays(tx, ident.UserID(user), ident.RoomID(room))
		return err
	})
	if err != nil || len(stays) == 0 {
		h.t.Fatalf("nothing is kept of %s and %s, %v", user, room, err)
	}
	return stays[len(stays)-1]
}

func user(id string) string { return `{"user_id":"` + id + `"}` }

func TestInviteOverFederation(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, b *host) {
		room := a.room(alice, `{"name":"N"}`)
		a.ok(alice, "POST", in(room, "invite"), `{"user_id":"@bob:b.example","reason":"come"}`, "")
		if got := a.membership(alice, room, bob); got["membership"] != "invite" || got["reason"] != "come" {
			t.Errorf("bob is %v, want invited with the reason", got)
		}
		stands := b.standsOutside(room, bob)
		var shown []struct {
			Type    string            `json:"type"`
			Sender  string            `json:"sender"`
			Key     string            `json:"state_key"`
			Content map[string]string `json:"content"`
		}
		if err := json.Unmarshal(stands.Outside, &shown); err != nil || stands.Membership != "invite" {
			t.Fatalf("bob's invitation is kept as %+v, %v", stands, err)
		}
		named := false
		for _, e := range shown {
			named = named || e.Type == "m.room.name" && e.Content["name"] == "N"
		}
		if last := shown[len(shown)-1]; !named || last.Key != bob || last.Sender != alice {
			t.Errorf("the room shows %s, want its name, and the invitation at the end", stands.Outside)
		}
		b.ok(bob, "POST", in(room, "join"), `{"reason":"here"}`, "room_id") // whoever invited knows the room
		if got := b.membership(bob, room, bob); got["membership"] != "join" || got["displayname"] != "BOB" || got["reason"] != "here" {
			t.Errorf("bob is %v, want joined with name and reason", got)
		}
		settle()
		a.ok(alice, "POST", in(room, "kick"), `{"user_id":"@bob:b.example","reason":"out"}`, "")
		settle()
		if got := b.membership(bob, room, bob); got["membership"] != "leave" || got["reason"] != "out" {
			t.Errorf("bob is %v, want kicked", got)
		}
	})
}

// An invitation that is set as state goes the same way: the other server has to sign it.
func TestInviteAsState(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, b *host) {
		room := a.room(alice, ``)
		a.ok(alice, "PUT", in(room, "state/m.room.member/"+bob), `{"membership":"invite","displayname":"B"}`, "event_id")
		if got := b.standsOutside(room, bob).Membership; got != "invite" {
			t.Errorf("bob stands outside as %q, want invited", got)
		}
		if got := a.membership(alice, room, bob); got["displayname"] != "B" {
			t.Errorf("bob is %v, want the content that was given", got)
		}
		a.refused(alice, "PUT", in(room, "state/m.room.member/bob"), `{"membership":"invite"}`, 400, "M_INVALID_PARAM")
		a.refused(alice, "PUT", in(room, "state/m.room.member/"+bob), `{"membership":7}`, 400, "M_BAD_JSON")
	})
}

// A server that is down keeps nobody else from being invited, and the room is there.
func TestInvitationsOfCreateRoom(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, b *host) {
		room := a.room(alice, `{"is_direct":true,"invite":["@dan:down.example","@bob:b.example","@nobody:a.example","@carol:a.example"]}`)
		for _, invited := range []string{bob, carol} {
			if got := a.membership(alice, room, invited); got["membership"] != "invite" || got["is_direct"] != true {
				t.Errorf("%s is %v, want invited directly", invited, got)
			}
		}
		for _, not := range []string{"@dan:down.example", "@nobody:a.example"} {
			a.refused(alice, "GET", in(room, "state/m.room.member/"+not), "", 404, "M_NOT_FOUND")
		}
		if got := b.standsOutside(room, bob).Membership; got != "invite" {
			t.Errorf("bob stands outside as %q, want invited", got)
		}
	})
}

// What a join replaces is shown with it, though the invitation is known only as state that came with the join.
func TestJoinShowsTheInvitation(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, b *host) {
		room := a.room(alice, `{"invite":["@bob:b.example"],"is_direct":true}`)
		b.ok(bob, "POST", in(room, "join"), ``, "room_id")
		_, answer := b.Do(t, bob, "GET", in(room, "state/m.room.member/"+bob+"?format=event"), "")
		status, answer := b.Do(t, bob, "GET", in(room, "event/"+textOf(t, answer, "event_id")), "")
		var joined struct {
			Unsigned struct {
				Before struct {
					Membership string `json:"membership"`
					Direct     bool   `json:"is_direct"`
				} `json:"prev_content"`
				Sender string `json:"prev_sender"`
			} `json:"unsigned"`
		}
		if err := json.Unmarshal(answer, &joined); err != nil || status != 200 {
			t.Fatalf("the join: %d %s, %v", status, answer, err)
		}
		if u := joined.Unsigned; u.Before.Membership != "invite" || !u.Before.Direct || u.Sender != alice {
			t.Errorf("the join shows %+v, want alice's invitation to a direct chat", u)
		}
	})
}

func TestInvitationIsRejected(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, b *host) {
		room := a.room(alice, `{"invite":["@bob:b.example"]}`)
		if got := b.standsOutside(room, bob).Membership; got != "invite" {
			t.Fatalf("bob stands outside as %q, want invited", got)
		}
		b.ok(bob, "POST", in(room, "leave"), ``, "")
		settle()
		if got := b.standsOutside(room, bob).Membership; got != "leave" {
			t.Errorf("bob stands outside as %q, want left", got)
		}
		if got := a.membership(alice, room, bob); got["membership"] != "leave" {
			t.Errorf("bob is %v, want left", got)
		}
	})
}

// What kick, ban and unban are for: "the target user is not in the room" is no kick, and a kick takes back no ban.
func TestModeration(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"preset":"public_chat"}`)
		act := func(as, what, body string, status int, code string) {
			t.Helper()
			if got, answer := a.Do(t, as, "POST", in(room, what), body); got != status || status != 200 && textOf(t, answer, "errcode") != code {
				t.Errorf("%s: %d %s, want %d %s", what, got, answer, status, code)
			}
		}
		act(alice, "kick", user(carol), 403, "M_FORBIDDEN") // not there
		act(alice, "unban", user(carol), 403, "M_FORBIDDEN")
		act(carol, "join", ``, 200, "")
		act(carol, "join", ``, 200, "") // stays as it is
		if order, _ := a.firstState(room); order[len(order)-2] == "m.room.member" {
			t.Error("joining twice has made two events")
		}
		act(carol, "kick", user(alice), 403, "M_FORBIDDEN") // no power
		act(carol, "ban", user(alice), 403, "M_FORBIDDEN")
		act(alice, "ban", user(carol), 200, "")
		act(carol, "join", ``, 403, "M_FORBIDDEN")
		act(alice, "kick", user(carol), 403, "M_FORBIDDEN")
		act(alice, "invite", user(carol), 403, "M_FORBIDDEN")
		act(alice, "unban", user(carol), 200, "")
		act(carol, "leave", ``, 200, "") // has left
		act("@dan:a.example", "leave", ``, 404, "M_NOT_FOUND")
		act(alice, "invite", user("@nobody:a.example"), 403, "M_FORBIDDEN")
		act(alice, "invite", user("@nobody:b.example"), 403, "M_FORBIDDEN")
		act(alice, "invite", user("@dan:down.example"), 502, "M_UNKNOWN")
		act(alice, "invite", `{}`, 400, "M_MISSING_PARAM")
		act(alice, "invite", `{"user_id":7}`, 400, "M_BAD_JSON")
		act(alice, "invite", user("carol"), 400, "M_INVALID_PARAM")
		act(alice, "invite", `{"medium":"email","address":"a@b","id_server":"c"}`, 403, "M_THREEPID_DENIED")
	})
}

func TestKnock(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, b *host) {
		room := a.room(alice, `{"initial_state":[{"type":"m.room.join_rules","content":{"join_rule":"knock"}}]}`)
		b.ok(bob, "POST", v3+"knock/"+room+"?via=a.example", `{"reason":"please"}`, "room_id")
		if got := a.membership(alice, room, bob); got["membership"] != "knock" || got["reason"] != "please" || got["displayname"] != "BOB" {
			t.Errorf("bob is %v, want a knock with reason and name", got)
		}
		if got := b.standsOutside(room, bob).Membership; got != "knock" {
			t.Errorf("bob stands outside as %q, want knock", got)
		}
		b.refused(bob, "POST", in(room, "forget"), ``, 400, "M_UNKNOWN")
		a.ok(alice, "POST", in(room, "invite"), user(bob), "")
		if got := b.standsOutside(room, bob).Membership; got != "invite" {
			t.Errorf("bob stands outside as %q, want invite", got)
		}
		b.ok(bob, "POST", v3+"join/"+room, ``, "room_id")
		closed := a.room(alice, ``)
		b.refused(bob, "POST", v3+"knock/"+closed+"?via=a.example", ``, 403, "M_FORBIDDEN")
		a.refused(carol, "POST", v3+"knock/"+closed, ``, 403, "M_FORBIDDEN")
	})
}

func TestForget(t *testing.T) {
	t.Parallel()
	inBubble(t, func(t *testing.T, a, _ *host) {
		room := a.room(alice, `{"preset":"public_chat"}`)
		a.ok(carol, "POST", in(room, "join"), ``, "")
		a.refused(carol, "POST", in(room, "forget"), ``, 400, "M_UNKNOWN")
		a.ok(carol, "POST", in(room, "leave"), ``, "")
		a.ok(carol, "POST", in(room, "forget"), ``, "")
		if got := a.standsOutside(room, carol).Membership; got != "forgotten" {
			t.Errorf("carol stands to the room as %q, want that it is forgotten", got)
		}
	})
}
