// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	alice = ident.UserID("@alice:a.example")
	bob   = ident.UserID("@bob:b.example")
	carol = ident.UserID("@carol:c.example")
)

// The basic flow in every stable room version: create, join over federation, messages both ways, leave.
func TestTwoServersInEveryRoomVersion(t *testing.T) {
	for _, version := range event.Versions() {
		t.Run(version, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				ctx := t.Context()
				a, b := n.open("a.example", ""), n.open("b.example", "")
				var atA, atB journal
				defer subscribe(t, a, "log", atA.deliver)()
				defer subscribe(t, b, "log", atB.deliver)()

				room := must[ident.RoomID](t)(a.CreateRoom(ctx, messaging.CreateRoom{
					Creator: alice, Version: version, Name: "Flow", Topic: "all versions", Public: true,
				}))
				if err := b.Join(ctx, bob, room, []ident.ServerName{"a.example"}); err != nil {
					t.Fatal(err)
				}
				must[ident.EventID](t)(b.Send(ctx, room, bob, "m.room.message", text("hello")))
				settle()
				must[ident.EventID](t)(a.Send(ctx, room, alice, "m.room.message", text("welcome")))
				settle()
				if err := b.Leave(ctx, bob, room); err != nil {
					t.Fatal(err)
				}
				settle()

				shared := []string{
					"@bob:b.example join", "@bob:b.example: hello", "@alice:a.example: welcome", "@bob:b.example leave",
				}
				created := []string{
					"@alice:a.example m.room.create", "@alice:a.example join", "@alice:a.example m.room.power_levels",
					"@alice:a.example m.room.join_rules", "@alice:a.example m.room.history_visibility",
					"@alice:a.example m.room.name", "@alice:a.example m.room.topic",
				}
				if diff := cmp.Diff(append(created, shared...), atA.all()); diff != "" {
					t.Errorf("a.example (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(shared, atB.all()); diff != "" {
					t.Errorf("b.example (-want +got):\n%s", diff)
				}
				if _, err := b.Send(ctx, room, bob, "m.room.message", text("again")); !errors.Is(err, pdu.ErrNotJoined) {
					t.Errorf("sending after the leave: %v, want pdu.ErrNotJoined", err)
				}
			})
		})
	}
}

func TestThreeServers(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a, b, c := n.open("a.example", ""), n.open("b.example", ""), n.open("c.example", "")
		var atA, atB, atC journal
		defer subscribe(t, a, "log", atA.deliver)()
		defer subscribe(t, b, "log", atB.deliver)()
		defer subscribe(t, c, "log", atC.deliver)()

		room := must[ident.RoomID](t)(a.CreateRoom(ctx, messaging.CreateRoom{Creator: alice, Public: true}))
		settle()
		before := len(atA.all())
		if err := b.Join(ctx, bob, room, []ident.ServerName{"a.example"}); err != nil {
			t.Fatal(err)
		}
		settle()
		// Over b.example, which did not create the room; the first candidate is down (M-01).
		if err := c.Join(ctx, carol, room, []ident.ServerName{"down.example", "c.example", "b.example"}); err != nil {
			t.Fatal(err)
		}
		settle()
		for _, say := range []struct {
			at   *messaging.Server
			user ident.UserID
			text string
		}{{c, carol, "one"}, {a, alice, "two"}, {b, bob, "three"}} {
			must[ident.EventID](t)(say.at.Send(ctx, room, say.user, "m.room.message", text(say.text)))
			settle()
		}
		want := []string{
			"@bob:b.example join", "@carol:c.example join",
			"@carol:c.example: one", "@alice:a.example: two", "@bob:b.example: three",
		}
		if diff := cmp.Diff(want, atA.all()[before:]); diff != "" {
			t.Errorf("a.example (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, atB.all()); diff != "" {
			t.Errorf("b.example (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want[1:], atC.all()); diff != "" {
			t.Errorf("c.example (-want +got):\n%s", diff)
		}
		for _, server := range []*messaging.Server{a, b, c} {
			servers := must[[]ident.ServerName](t)(server.Engine().Servers(ctx, room))
			if diff := cmp.Diff([]ident.ServerName{"a.example", "b.example", "c.example"}, servers); diff != "" {
				t.Errorf("servers at %s (-want +got):\n%s", server.Name(), diff)
			}
		}
	})
}

// A second user of a server that is in the room joins without asking anyone.
// In version 12 a room's id is the hash of its create event: two rooms with the same creator, content and time are still two.
func TestRoomsOfTheSameMillisecond(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.open("a.example", "")
		seen := map[ident.RoomID]bool{}
		for range 5 {
			room := must[ident.RoomID](t)(a.CreateRoom(t.Context(), messaging.CreateRoom{Creator: alice}))
			if seen[room] {
				t.Errorf("room %s was given out twice", room)
			}
			seen[room] = true
		}
	})
}

func TestLocalJoin(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a := n.open("a.example", "")
		public := must[ident.RoomID](t)(a.CreateRoom(ctx, messaging.CreateRoom{Creator: alice, Public: true}))
		private := must[ident.RoomID](t)(a.CreateRoom(ctx, messaging.CreateRoom{Creator: alice}))
		if err := a.Join(ctx, "@anna:a.example", public, nil); err != nil {
			t.Error(err)
		}
		var refused *pdu.NotAllowed
		if err := a.Join(ctx, "@anna:a.example", private, nil); !errors.As(err, &refused) || refused.Verdict.Decisive().Rule != "P-44" {
			t.Errorf("joining a private room: %v, want *pdu.NotAllowed by P-44", err)
		}
		if asked := n.asked(); len(asked) != 0 {
			t.Errorf("asked others: %v", asked)
		}
	})
}

// creators of a version 12 room are not in users, and only they can end it; before, the creator has 100.
func TestPowerLevelsOfANewRoom(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.open("a.example", "")
		for _, test := range []struct{ version, users, tombstone string }{
			{"1", `{"@alice:a.example":100}`, "100"},
			{"11", `{"@alice:a.example":100}`, "100"},
			{"12", `{}`, "150"},
		} {
			room := must[ident.RoomID](t)(a.CreateRoom(t.Context(), messaging.CreateRoom{Creator: alice, Version: test.version}))
			power := must[*event.Event](t)(a.Engine().StateEvent(t.Context(), room, event.StateKey{Type: "m.room.power_levels"}))
			users, tombstone := power.Content().Get("users").Canonical(), power.Content().Get("events").Get("m.room.tombstone").Canonical()
			if string(users) != test.users || string(tombstone) != test.tombstone {
				t.Errorf("version %s: users %s, tombstone %s; want %s, %s", test.version, users, tombstone, test.users, test.tombstone)
			}
			create := must[*event.Event](t)(a.Engine().StateEvent(t.Context(), room, event.StateKey{Type: "m.room.create"}))
			// content.creator up to version 10.
			creator, _ := create.Content().Get("creator").Text()
			if want := map[string]string{"1": string(alice)}[test.version]; creator != want {
				t.Errorf("version %s: creator %q, want %q", test.version, creator, want)
			}
		}
	})
}

func TestRefusedCalls(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx := t.Context()
		a := n.open("a.example", "")
		room := must[ident.RoomID](t)(a.CreateRoom(ctx, messaging.CreateRoom{Creator: alice, Public: true}))
		for _, test := range []struct {
			name string
			call func() error
			want error
		}{
			{"create as a foreign user", func() error {
				_, err := a.CreateRoom(ctx, messaging.CreateRoom{Creator: bob})
				return err
			}, messaging.ErrNotOurs},
			{"create as a user id that may not be made any more (X-12)", func() error {
				_, err := a.CreateRoom(ctx, messaging.CreateRoom{Creator: "@Alice:a.example"})
				return err
			}, ident.ErrInvalid},
			{"send as a foreign user", func() error {
				_, err := a.Send(ctx, room, bob, "m.room.message", text(""))
				return err
			}, messaging.ErrNotOurs},
			{"join as a foreign user", func() error { return a.Join(ctx, bob, room, nil) }, messaging.ErrNotOurs},
			{"join a room without a server to ask", func() error { return a.Join(ctx, alice, "!x:b.example", nil) }, messaging.ErrNoServer},
			{"join over ourselves only", func() error {
				return a.Join(ctx, alice, "!x:b.example", []ident.ServerName{"a.example"})
			}, messaging.ErrNoServer},
			{"join what is no room id", func() error {
				return a.Join(ctx, alice, "x", []ident.ServerName{"b.example"})
			}, ident.ErrInvalid},
			{"send to a room that is not here", func() error {
				_, err := a.Send(ctx, "!x:b.example", alice, "m.room.message", text(""))
				return err
			}, pdu.ErrUnknownRoom},
			{"leave a room that is not here", func() error { return a.Leave(ctx, alice, "!x:b.example") }, messaging.ErrNoServer},
		} {
			if err := test.call(); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", test.name, err, test.want)
			}
		}
		if _, err := a.CreateRoom(ctx, messaging.CreateRoom{Creator: alice, Version: "99"}); err == nil {
			t.Error("room version 99 was created")
		}
		if _, err := a.CreateRoom(ctx, messaging.CreateRoom{Creator: alice, Version: "11", AdditionalCreators: []ident.UserID{bob}}); err == nil {
			t.Error("additional creators were accepted in version 11")
		}
		if _, err := a.Send(ctx, room, alice, "m.room.message", 1.5); err == nil {
			t.Error("content that is no object was sent")
		}
	})
}
