// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"testing"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// membersOf is a room of version 10 that members of another may join.
func membersOf(t *testing.T, a *messaging.Server, allow any) ident.RoomID {
	t.Helper()
	return must[ident.RoomID](t)(a.CreateRoom(t.Context(), messaging.CreateRoom{Creator: alice, Version: "10", State: []messaging.State{
		{Type: "m.room.join_rules", Content: map[string]any{"join_rule": "restricted", "allow": allow}},
	}}))
}

func memberIn(rooms ...ident.RoomID) []any {
	conditions := []any{map[string]string{"type": "org.example.other", "room_id": "!x:a.example"}, "no object"} // never match (M-15)
	for _, room := range rooms {
		conditions = append(conditions, map[string]string{"type": "m.room_membership", "room_id": string(room)})
	}
	return conditions
}

// M-13: who meets the conditions may join, and the refusals say what another server might do better.
func TestRestrictedJoin(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, b := n.open("a.example", ""), n.open("b.example", "")
		club := versionTen(t, a, true)
		if err := b.Join(ctx, bob, club, []ident.ServerName{"a.example"}); err != nil {
			t.Fatal(err)
		}
		open := membersOf(t, a, memberIn("!unknown:c.example", club))
		if err := b.Join(ctx, bob, open, []ident.ServerName{"a.example"}); err != nil {
			t.Fatal(err)
		}
		joined := must[*event.Event](t)(b.Engine().StateEvent(ctx, open, event.StateKey{Type: "m.room.member", Key: string(bob)}))
		member, _ := joined.Membership()
		if !joined.Signatures().Has("a.example") || member.AuthorisedVia != string(alice) {
			t.Errorf("the join is authorised by %q, signatures %s; want alice and a.example's", member.AuthorisedVia, joined.Signatures().Canonical())
		}
		must[ident.EventID](t)(b.Send(ctx, open, bob, "m.room.message", text("in")))
		// A second user of b.example, where nobody may invite, is refused for that alone.
		if err := b.Join(ctx, "@bert:b.example", open, nil); err == nil {
			t.Error("a user who meets no condition joined")
		}
	})
}

func TestRestrictedJoinRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, x := n.open("a.example", ""), n.peer("x.example")
		club := versionTen(t, a, true)
		must[[]byte](t)(x.hand(ctx, t, "join", x.prepare(ctx, t, "join", club, xavier)))
		powerless := membersOf(t, a, memberIn(club))
		levels := map[string]any{"users": map[string]int{string(alice): 100}, "invite": 100}
		must[ident.EventID](t)(a.SendState(ctx, powerless, alice, "m.room.power_levels", "", levels))
		levels["users"] = map[string]int{string(alice): 50}
		must[ident.EventID](t)(a.SendState(ctx, powerless, alice, "m.room.power_levels", "", levels))
		for _, test := range []struct {
			name string
			room ident.RoomID
			user string
			want string
		}{
			{"in none of the rooms", membersOf(t, a, memberIn(club)), "@other:x.example", "403 M_FORBIDDEN"},
			{"a room that is not here", membersOf(t, a, memberIn("!unknown:c.example")), string(xavier), "400 M_UNABLE_TO_AUTHORISE_JOIN"},
			{"no conditions", membersOf(t, a, memberIn()), string(xavier), "403 M_FORBIDDEN"},
			{"conditions that are none", membersOf(t, a, "everyone"), string(xavier), "403 M_FORBIDDEN"},
			{"nobody may invite", powerless, string(xavier), "400 M_UNABLE_TO_GRANT_JOIN"},
		} {
			_, err := x.do(ctx, "a.example", "GET", offer(), nil, "v1", "make_join", string(test.room), test.user)
			if got := refusal(err); got != test.want {
				t.Errorf("%s: %s, want %s", test.name, got, test.want)
			}
		}
	})
}

// A server that is in the room, of whose users none may invite, has another one agree to a join (M-13).
func TestRestrictedJoinIsGrantedByAnother(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, b := n.open("a.example", ""), n.open("b.example", "")
		club := versionTen(t, a, true)
		room := membersOf(t, a, memberIn(club))
		levels := map[string]any{"users": map[string]int{string(alice): 100}, "invite": 50}
		must[ident.EventID](t)(a.SendState(ctx, room, alice, "m.room.power_levels", "", levels))
		for _, joins := range []struct {
			user ident.UserID
			room ident.RoomID
		}{{bob, club}, {bob, room}, {"@bert:b.example", club}} {
			if err := b.Join(ctx, joins.user, joins.room, []ident.ServerName{"a.example"}); err != nil {
				t.Fatal(err)
			}
			settle()
		}
		if err := b.Join(ctx, "@bert:b.example", room, nil); err != nil {
			t.Fatal(err)
		}
		settle()
		for _, s := range []*messaging.Server{a, b} {
			joined := must[*event.Event](t)(s.Engine().StateEvent(ctx, room, event.StateKey{Type: "m.room.member", Key: "@bert:b.example"}))
			if joined == nil {
				t.Fatalf("%s does not know the join", s.Name())
			}
			if member, _ := joined.Membership(); member.Membership != "join" || member.AuthorisedVia != string(alice) {
				t.Errorf("%s has %s, want a join that alice has agreed to", s.Name(), joined.Content().Canonical())
			}
		}
	})
}

// A join that names our user without having asked is not signed in that user's name (M-14).
func TestRestrictedJoinIsCheckedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, x := n.open("a.example", ""), n.peer("x.example")
		club := versionTen(t, a, true)
		must[[]byte](t)(x.hand(ctx, t, "join", x.prepare(ctx, t, "join", club, xavier)))
		room := membersOf(t, a, memberIn(club))
		d := x.prepare(ctx, t, "join", room, xavier)
		stranger := "@stranger:x.example"
		d.proto.Sender, d.proto.StateKey = ident.UserID(stranger), &stranger
		if got := refusal(handErr(x.hand(ctx, t, "join", d))); got != "403 M_FORBIDDEN" {
			t.Errorf("a stranger with a member's template: %s, want 403 M_FORBIDDEN", got)
		}
	})
}
