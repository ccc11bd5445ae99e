// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// knockable is a room of a version on which one can knock.
func knockable(t *testing.T, a *messaging.Server, version, rule string) ident.RoomID {
	t.Helper()
	return must[ident.RoomID](t)(a.CreateRoom(t.Context(), messaging.CreateRoom{Creator: alice, Version: version, State: []messaging.State{
		{Type: "m.room.join_rules", Content: map[string]any{"join_rule": rule}},
	}}))
}

// The whole way: a knock, the invitation that answers it, and the join (M-20 to M-22).
func TestKnock(t *testing.T) {
	for _, test := range []struct{ version, rule string }{{"7", "knock"}, {"10", "knock_restricted"}, {"12", "knock"}} {
		t.Run(test.version, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				ctx := t.Context()
				var book guestbook
				a, b := n.open("a.example", ""), n.open("b.example", "", with(&book))
				room := knockable(t, a, test.version, test.rule)
				if err := b.Knock(ctx, bob, room, map[string]string{"reason": "tea"}, []ident.ServerName{"down.example", "a.example"}); err != nil {
					t.Fatal(err)
				}
				knock := must[*event.Event](t)(a.Engine().StateEvent(ctx, room, event.StateKey{Type: "m.room.member", Key: string(bob)}))
				if got := string(knock.Content().Canonical()); got != `{"membership":"knock","reason":"tea"}` {
					t.Errorf("the room has %s", got)
				}
				told := book.last(t)
				if told.Version != test.version || told.Event.ID() != knock.ID() || len(told.State) != 3 || !strings.Contains(string(told.State[0]), "m.room.create") {
					t.Errorf("told %+v, with %s", told, told.State)
				}
				must[ident.EventID](t)(a.Invite(ctx, room, alice, bob, nil))
				if err := b.Join(ctx, bob, room, nil); err != nil {
					t.Error(err)
				}
				want := []string{"@bob:b.example knock by @bob:b.example", "@bob:b.example invite by @alice:a.example"}
				if diff := cmp.Diff(want, book.lines()); diff != "" {
					t.Errorf("told (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// A user whose room is here knocks as an event like any other.
func TestKnockOnARoomThatIsHere(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.open("a.example", "")
		room := knockable(t, a, "10", "knock")
		if err := a.Knock(t.Context(), "@anna:a.example", room, nil, nil); err != nil {
			t.Fatal(err)
		}
		if got := membershipOf(t, a, room, "@anna:a.example"); got != "knock" {
			t.Errorf("anna's membership is %q", got)
		}
	})
}

// E-16, E-17: the resident's refusals, and what it shows.
func TestKnockOfAPeer(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, x := n.open("a.example", ""), n.peer("x.example")
		room, private := knockable(t, a, "10", "knock"), versionTen(t, a, false)
		for _, test := range []struct {
			name  string
			query map[string][]string
			room  ident.RoomID
			user  string
			want  string
		}{
			{"without versions (M-20)", nil, room, string(xavier), "400 M_MISSING_PARAM"},
			{"with other versions", map[string][]string{"ver": {"9"}}, room, string(xavier), "400 M_INCOMPATIBLE_ROOM_VERSION"},
			{"of another server's user", offer(), room, string(bob), "403 M_FORBIDDEN"},
			{"on a room where nobody can", offer(), private, string(xavier), "403 M_FORBIDDEN"},
			{"on a room that is not here", offer(), "!x:a.example", string(xavier), "404 M_NOT_FOUND"},
			{"in order", offer(), room, string(xavier), ""},
		} {
			_, err := x.do(ctx, "a.example", "GET", test.query, nil, "v1", "make_knock", string(test.room), test.user)
			if got := refusal(err); got != test.want {
				t.Errorf("make_knock %s: %s, want %s", test.name, got, test.want)
			}
		}
		send := func(change func(*draft)) ([]byte, error) {
			d := x.prepare(ctx, t, "knock", room, xavier)
			change(d)
			version, _ := event.VersionOf("10")
			built := must[*event.Event](t)(event.Build(version, d.proto, x.name, x.key))
			return x.do(ctx, "a.example", "PUT", nil, built.JSON(), "v1", "send_knock", string(room), string(built.ID()))
		}
		_, err := send(func(d *draft) { d.proto.Content = []byte(`{"membership":"join"}`) })
		if got := refusal(err); got != "400 M_INVALID_PARAM" {
			t.Errorf("a join as a knock: %s", got)
		}
		answer := must[[]byte](t)(send(func(*draft) {}))
		root := must[canonicaljson.Value](t)(canonicaljson.Parse(answer, canonicaljson.Strict))
		version, _ := event.VersionOf("10")
		var shown []string
		for element := range root.Get("knock_room_state").Elements() {
			shown = append(shown, must[*event.Event](t)(event.Parse(version, element.Canonical())).Type())
		}
		if diff := cmp.Diff([]string{"m.room.create", "m.room.join_rules"}, shown); diff != "" {
			t.Errorf("shown as whole events (-want +got):\n%s", diff)
		}
	})
}

// Whoever made an invitation can take it back; a knock is turned down by who has seen it; and nobody else ends either.
func TestRetraction(t *testing.T) {
	kick := map[string]string{"membership": "leave"}
	for _, test := range []struct {
		name  string
		end   func(t *testing.T, a *messaging.Server, room ident.RoomID)
		knock bool
		want  string
	}{
		{"the inviter takes it back", func(t *testing.T, a *messaging.Server, room ident.RoomID) {
			must[ident.EventID](t)(a.SendState(t.Context(), room, alice, "m.room.member", string(bob), kick))
		}, false, "@bob:b.example leave by @alice:a.example"},
		{"the inviter bans", func(t *testing.T, a *messaging.Server, room ident.RoomID) {
			must[ident.EventID](t)(a.SendState(t.Context(), room, alice, "m.room.member", string(bob), map[string]string{"membership": "ban"}))
		}, false, "@bob:b.example ban by @alice:a.example"},
		{"another does", func(t *testing.T, a *messaging.Server, room ident.RoomID) {
			must[ident.EventID](t)(a.SendState(t.Context(), room, "@anna:a.example", "m.room.member", string(bob), kick))
		}, false, ""},
		{"another turns a knock down", func(t *testing.T, a *messaging.Server, room ident.RoomID) {
			must[ident.EventID](t)(a.SendState(t.Context(), room, "@anna:a.example", "m.room.member", string(bob), kick))
		}, true, "@bob:b.example leave by @anna:a.example"},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				ctx := t.Context()
				var book guestbook
				a, b := n.open("a.example", ""), n.open("b.example", "", with(&book))
				room := must[ident.RoomID](t)(a.CreateRoom(ctx, messaging.CreateRoom{Creator: alice, Version: "10", State: []messaging.State{
					{Type: "m.room.join_rules", Content: map[string]any{"join_rule": "knock"}},
					{Type: "m.room.power_levels", Content: map[string]any{"users": map[string]int{string(alice): 100, "@anna:a.example": 50}}},
				}}))
				must[ident.EventID](t)(a.Invite(ctx, room, alice, "@anna:a.example", nil))
				if err := a.Join(ctx, "@anna:a.example", room, nil); err != nil {
					t.Fatal(err)
				}
				if test.knock {
					if err := b.Knock(ctx, bob, room, nil, []ident.ServerName{"a.example"}); err != nil {
						t.Fatal(err)
					}
				} else {
					must[ident.EventID](t)(a.Invite(ctx, room, alice, bob, nil))
				}
				before := len(book.lines())
				test.end(t, a, room)
				settle()
				got := strings.Join(book.lines()[before:], ", ")
				if got != test.want {
					t.Errorf("told %q, want %q", got, test.want)
				}
			})
		})
	}
}

// A retraction that is forged, or of an earlier invitation, ends nothing; the rest of its transaction is worked on.
func TestRetractionIsRead(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		var book guestbook
		n.open("b.example", "", with(&book))
		x, y := n.peer("x.example"), n.peer("y.example")
		version, _ := event.VersionOf("10")
		build := func(i inviting) *event.Event {
			return must[*event.Event](t)(event.Build(version, i.proto, i.key.name, i.key.key))
		}
		invite := x.inviting("!r:x.example")
		if _, err := x.invite(t, invite); err != nil {
			t.Fatal(err)
		}
		leave := func(change func(*inviting)) *event.Event {
			i := x.inviting("!r:x.example")
			i.proto.Content, i.proto.OriginServerTS = []byte(`{"membership":"leave"}`), i.proto.OriginServerTS+1
			i.proto.AuthEvents = append(i.proto.AuthEvents, build(invite).Ref())
			change(&i)
			return build(i)
		}
		carol := "@carol:c.example"
		for i, test := range []struct {
			name string
			end  *event.Event
			ends bool
		}{
			{"by another user", leave(func(i *inviting) { i.proto.Sender = "@xena:x.example" }), false},
			{"by another server", leave(func(i *inviting) { i.proto.Sender, i.key = "@yves:y.example", y }), false},
			{"with a forged signature", leave(func(i *inviting) { i.key = &peer{name: x.name, key: y.key} }), false},
			{"that names no invitation", leave(func(i *inviting) { i.proto.AuthEvents = i.proto.AuthEvents[:1] }), false},
			{"of another user", leave(func(i *inviting) { i.proto.StateKey = &carol }), false},
			{"of another room", leave(func(i *inviting) { i.proto.RoomID = "!s:x.example" }), false},
			{"a join", leave(func(i *inviting) { i.proto.Content = []byte(`{"membership":"join"}`) }), false},
			{"in order", leave(func(*inviting) {}), true},
			{"in order, again", leave(func(*inviting) {}), false},
		} {
			before := len(book.lines())
			body := fmt.Sprintf(`{"origin":"x.example","origin_server_ts":1,"pdus":[{"room_id":"!t:x.example"},%s,7]}`, test.end.JSON())
			must[[]byte](t)(x.do(t.Context(), "b.example", "PUT", nil, []byte(body), "v1", "send", fmt.Sprint("t", i)))
			if ended := len(book.lines()) > before; ended != test.ends {
				t.Errorf("%s: ended: %v", test.name, ended)
			}
		}
	})
}
