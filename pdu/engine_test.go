// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	alice = ident.UserID("@alice:a.example")
	anna  = ident.UserID("@anna:a.example")
	bob   = ident.UserID("@bob:b.example")
	carol = ident.UserID("@carol:c.example")
	mal   = ident.UserID("@mal:m.example")
)

// Create, join over another server, fork, converge: in every room version.
func TestRoomAcrossServers(t *testing.T) {
	for _, version := range event.Versions() {
		t.Run(version, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				a, b, c := n.start("a.example"), n.start("b.example"), n.start("c.example")
				room := a.createPublic(version, alice)
				b.join(room, bob, a)
				n.deliver()
				c.join(room, carol, b)
				n.deliver()

				// Both send before they hear of each other: two extremities everywhere, merged by the next event.
				one, two := a.send(room, text(alice, "one")), b.send(room, text(bob, "two"))
				n.deliver()
				want := []ident.EventID{one.ID(), two.ID()}
				slices.Sort(want)
				for _, s := range []*server{a, b, c} {
					if diff := cmp.Diff(want, s.extremities(room)); diff != "" {
						t.Errorf("%s: extremities: %s", s.name, diff)
					}
				}
				merge := c.send(room, text(carol, "three"))
				n.deliver()
				got := slices.Sorted(slices.Values(merge.PrevEvents()))
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("P-06: prev_events: %s", diff)
				}
				if want := max(one.Depth(), two.Depth()) + 1; merge.Depth() != want {
					t.Errorf("P-05: depth %d, want %d", merge.Depth(), want)
				}
				for _, s := range []*server{a, b, c} {
					if diff := cmp.Diff([]ident.EventID{merge.ID()}, s.extremities(room)); diff != "" {
						t.Errorf("%s: extremities: %s", s.name, diff)
					}
					if diff := cmp.Diff(a.state(room), s.state(room)); diff != "" {
						t.Errorf("%s: state differs: %s", s.name, diff)
					}
					servers, err := s.engine.Servers(t.Context(), room)
					if want := []ident.ServerName{"a.example", "b.example", "c.example"}; err != nil || !slices.Equal(servers, want) {
						t.Errorf("%s: servers %v, %v, want %v", s.name, servers, err, want)
					}
				}
				// A member's server sees its own join and everything after it; the creator's everything.
				if got := len(a.delivered()); got != 4+2+3 {
					t.Errorf("a delivered %d events, want 9", got)
				}
				if got := len(c.delivered()); got != 1+3 {
					t.Errorf("c delivered %d events, want 4", got)
				}
			})
		})
	}
}

// Forks that change the same state end in the same state on all servers, in every algorithm of state resolution (P-70).
func TestConflictingStateConverges(t *testing.T) {
	for _, version := range []string{"1", "2", "10", "12"} {
		t.Run(version, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				a, b := n.start("a.example"), n.start("b.example")
				room := a.createPublic(version, alice)
				b.join(room, bob, a)
				n.deliver()
				levels := `{"users":{"@alice:a.example":100,"@bob:b.example":100}}`
				if version == "12" {
					levels = `{"users":{"@bob:b.example":100}}`
				}
				a.send(room, stateDraft(alice, "m.room.power_levels", levels))
				n.deliver()
				a.send(room, stateDraft(alice, "m.room.topic", `{"topic":"a"}`))
				a.send(room, stateDraft(alice, "m.room.join_rules", `{"join_rule":"invite"}`))
				b.send(room, stateDraft(bob, "m.room.topic", `{"topic":"b"}`))
				b.send(room, stateDraft(bob, "m.room.name", `{"name":"b"}`))
				n.deliver()
				if diff := cmp.Diff(a.state(room), b.state(room)); diff != "" {
					t.Fatalf("states differ: %s", diff)
				}
				if got := len(a.extremities(room)); got != 2 {
					t.Errorf("%d extremities, want 2", got)
				}
				a.send(room, text(alice, "merge"))
				n.deliver()
				if diff := cmp.Diff(a.state(room), b.state(room)); diff != "" {
					t.Errorf("states differ after the merge: %s", diff)
				}
				if a.stateEvent(room, event.StateKey{Type: "m.room.name"}) == nil {
					t.Error("the name, which nothing contradicts, was lost")
				}
			})
		})
	}
}

func TestSendIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.start("a.example")
		room := a.createPublic("10", alice)
		before := a.delivered()
		var refused *pdu.NotAllowed
		_, err := a.engine.Send(t.Context(), room, text(anna, "not a member"))
		if !errors.As(err, &refused) || refused.Verdict.Decisive().Rule != "P-51" {
			t.Errorf("send as a stranger: %v, want NotAllowed by P-51", err)
		}
		if _, err := a.engine.Send(t.Context(), "!x:a.example", text(alice, "?")); !errors.Is(err, pdu.ErrUnknownRoom) {
			t.Errorf("send to an unknown room: %v", err)
		}
		if diff := cmp.Diff(before, a.delivered()); diff != "" {
			t.Errorf("a refused event left something: %s", diff)
		}
		// A room whose creation is refused half-way is not there.
		_, _, err = a.engine.CreateRoom(t.Context(), "10", alice, []byte(`{}`), []pdu.Draft{member(alice, alice, "join"), text(anna, "x")})
		if !errors.As(err, &refused) {
			t.Errorf("create: %v, want NotAllowed", err)
		}
		if rooms, err := a.engine.Rooms(t.Context()); err != nil || len(rooms) != 1 {
			t.Errorf("%d rooms, %v, want 1", len(rooms), err)
		}
	})
}

// A second user of ours joins locally; when the last one leaves, the room is left and what still comes for it is refused.
func TestLeaving(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("11", alice)
		b.join(room, bob, a)
		n.deliver()
		second := ident.UserID("@bert:b.example")
		b.send(room, member(second, second, "join"))
		n.deliver()
		b.send(room, member(bob, bob, "leave"))
		n.deliver()
		if info, err := b.engine.Room(t.Context(), room); err != nil || info.Membership != pdu.Joined {
			t.Errorf("with one user left: %v, %v", info.Membership, err)
		}
		kick := a.send(room, member(alice, second, "leave"))
		n.deliver() // the server of the kicked user is told, although nobody of it is left
		b.wantOutcome(kick, pdu.Accepted, "", "")
		if info, err := b.engine.Room(t.Context(), room); err != nil || info.Membership != pdu.Left {
			t.Errorf("after the last user has gone: %v, %v", info.Membership, err)
		}
		late := a.send(room, text(alice, "to nobody"))
		if held := n.hold(); len(held) != 0 {
			t.Errorf("%d PDUs sent to servers without members", len(held))
		}
		if results := b.receive("a.example", late.JSON()); results[late.ID()] == "" {
			t.Errorf("PDU for a room that was left: %v, want an error", results)
		}
		if _, err := b.engine.Send(t.Context(), room, text(bob, "x")); !errors.Is(err, pdu.ErrNotJoined) {
			t.Errorf("send to a room that was left: %v", err)
		}
		if servers, err := a.engine.Servers(t.Context(), room); err != nil || !slices.Equal(servers, []ident.ServerName{"a.example"}) {
			t.Errorf("servers %v, %v", servers, err)
		}
		// And back again.
		b.join(room, bob, a)
		n.deliver()
		if diff := cmp.Diff(a.state(room), b.state(room)); diff != "" {
			t.Errorf("state after joining again: %s", diff)
		}
		b.send(room, text(bob, "back"))
		n.deliver()
		if diff := cmp.Diff(a.extremities(room), b.extremities(room)); diff != "" {
			t.Errorf("extremities after joining again: %s", diff)
		}
	})
}

// PDUs that arrive while the join is under way are staged and judged when it is done.
func TestArrivalsDuringJoin(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("12", alice)
		ctx := context.Background()
		if err := b.engine.BeginJoin(ctx, room, "12"); err != nil {
			t.Fatal(err)
		}
		join, err := b.handOver(room, member(bob, bob, "join"), a)
		if err != nil {
			t.Fatal(err)
		}
		h := pdu.Handover{Room: room, EventID: join.ID(), Membership: "join"}
		admission, err := a.engine.AcceptMembership(ctx, "b.example", h, join.JSON())
		if err != nil {
			t.Fatal(err)
		}
		early := a.send(room, text(alice, "welcome"))
		n.deliver()
		if got := b.outcome(early.ID()); got != pdu.Staged {
			t.Errorf("during the join the event is %v, want staged", got)
		}
		if again, err := a.engine.AcceptMembership(ctx, "b.example", h, join.JSON()); err != nil || len(again.StateBefore) != len(admission.StateBefore) {
			t.Errorf("send_join repeated: %d events of state, %v, want %d", len(again.StateBefore), err, len(admission.StateBefore))
		}
		if err := b.engine.AdoptRoom(ctx, "12", join, a.events(admission.StateBefore), a.events(admission.AuthChain), "a.example"); err != nil {
			t.Fatal(err)
		}
		n.deliver()
		b.wantOutcome(early, pdu.Accepted, "", "")
		if diff := cmp.Diff([]ident.EventID{join.ID(), early.ID()}, b.delivered()); diff != "" {
			t.Errorf("delivered: %s", diff)
		}
	})
}

func TestAbandonedJoin(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("12", alice)
		message := a.send(room, text(alice, "x"))
		if err := b.engine.BeginJoin(t.Context(), room, "12"); err != nil {
			t.Fatal(err)
		}
		if err := b.engine.AbandonJoin(t.Context(), room); err != nil {
			t.Fatal(err)
		}
		if results := b.receive("a.example", message.JSON()); results[message.ID()] == "" {
			t.Errorf("PDU after the join was abandoned: %v, want an error", results)
		}
		if err := b.engine.BeginJoin(t.Context(), room, "12"); err != nil {
			t.Fatal(err)
		}
		b.restart() // a join does not survive the process
		if info, err := b.engine.Room(t.Context(), room); err != nil || info.Membership != pdu.Left {
			t.Errorf("after a restart: %v, %v, want left", info.Membership, err)
		}
	})
}
