// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// M-06: what is handed over must be what the path and the origin say, well signed and allowed.
func TestHandoverIsRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room, other := a.createPublic("10", alice), a.createPublic("10", alice)
		join, err := b.handOver(room, member(bob, bob, "join"), a)
		if err != nil {
			t.Fatal(err)
		}
		elsewhere, err := b.handOver(other, member(bob, bob, "join"), a)
		if err != nil {
			t.Fatal(err)
		}
		top := a.stateEvent(room, rulesSlot)
		auth := a.authFor(room, createSlot, levelsSlot, rulesSlot)
		unknown := build(t, room, member(bob, bob, "join"), []*event.Event{elsewhere}, auth)
		for name, tt := range map[string]struct {
			origin ident.ServerName
			h      pdu.Handover
			wire   string
			want   string
		}{
			"room":       {"b.example", pdu.Handover{Room: other, EventID: join.ID(), Membership: "join"}, string(join.JSON()), "400 M_INVALID_PARAM"},
			"unknown":    {"b.example", pdu.Handover{Room: "!x:a.example", EventID: join.ID(), Membership: "join"}, string(join.JSON()), "404 M_NOT_FOUND"},
			"event id":   {"b.example", pdu.Handover{Room: room, EventID: "$x", Membership: "join"}, string(join.JSON()), "400 M_INVALID_PARAM"},
			"membership": {"b.example", pdu.Handover{Room: room, EventID: join.ID(), Membership: "leave"}, string(join.JSON()), "400 M_INVALID_PARAM"},
			"origin":     {"m.example", pdu.Handover{Room: room, EventID: join.ID(), Membership: "join"}, string(join.JSON()), "400 M_INVALID_PARAM"},
			"no event":   {"b.example", pdu.Handover{Room: room, EventID: join.ID(), Membership: "join"}, `{}`, "400 M_BAD_JSON"},
			"signature": {
				"b.example", pdu.Handover{Room: room, EventID: join.ID(), Membership: "join"},
				strings.Replace(string(join.JSON()), `"ed25519:1":"`, `"ed25519:1":"AAAA`, 1), "403 M_FORBIDDEN",
			},
			"parents": {"b.example", pdu.Handover{Room: room, EventID: unknown.ID(), Membership: "join"}, string(unknown.JSON()), "400 M_INVALID_PARAM"},
		} {
			_, err := a.engine.AcceptMembership(t.Context(), tt.origin, tt.h, []byte(tt.wire))
			if errcode(err) != tt.want {
				t.Errorf("%s: %v, want %s", name, err, tt.want)
			}
		}
		// Not allowed: a leave of someone who is not in the room (P-48), a join under another rule (P-44).
		leave := build(t, room, member(bob, bob, "leave"), []*event.Event{top}, a.authFor(room, createSlot, levelsSlot))
		_, err = a.engine.AcceptMembership(t.Context(), "b.example", pdu.Handover{Room: room, EventID: leave.ID(), Membership: "leave"}, leave.JSON())
		if errcode(err) != "403 M_FORBIDDEN" {
			t.Errorf("leave of a stranger: %v", err)
		}
		a.send(room, stateDraft(alice, "m.room.join_rules", `{"join_rule":"invite"}`))
		if _, err := b.handOver(room, member(bob, bob, "join"), a); errcode(err) != "403 M_FORBIDDEN" {
			t.Errorf("template for a private room: %v", err)
		}
		_, err = a.engine.AcceptMembership(t.Context(), "b.example", pdu.Handover{Room: room, EventID: join.ID(), Membership: "join"}, join.JSON())
		if errcode(err) != "403 M_FORBIDDEN" {
			t.Errorf("a template from before the rule changed: %v", err)
		}
		if servers, err := a.engine.Servers(t.Context(), room); err != nil || len(servers) != 1 {
			t.Errorf("servers %v, %v", servers, err)
		}
	})
}

// M-08: the state is that before the join; the chain covers the join and the state. M-07: the other servers get the join.
func TestAdmission(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, c := n.start("a.example"), n.start("b.example"), n.start("c.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		want := a.state(room)
		join, err := c.handOver(room, member(carol, carol, "join"), b)
		if err != nil {
			t.Fatal(err)
		}
		admission, err := b.engine.AcceptMembership(t.Context(), "c.example", pdu.Handover{Room: room, EventID: join.ID(), Membership: "join"}, join.JSON())
		if err != nil {
			t.Fatal(err)
		}
		got := map[event.StateKey]ident.EventID{}
		for _, e := range b.events(admission.StateBefore) {
			slot, _ := e.Slot()
			got[slot] = e.ID()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("state: %s", diff)
		}
		chain := admission.AuthChain
		for _, e := range append(b.events(admission.StateBefore), join) {
			for _, id := range e.AuthEvents() {
				if !slices.Contains(chain, id) {
					t.Errorf("auth chain lacks %s, on which %s rests", id, e.Type())
				}
			}
		}
		if want := []ident.ServerName{"a.example", "b.example"}; !slices.Equal(admission.ServersInRoom, want) {
			t.Errorf("servers %v, want %v", admission.ServersInRoom, want)
		}
		held := n.hold()
		if len(held) != 1 || held[0].to != "a.example" {
			t.Errorf("relayed to %d servers, want a.example alone", len(held))
		}
	})
}

// Joiner: nothing of the answer is trusted (M-17, P-91). What fails is left out of the state; without a valid create event, or
// what the join rests on, there is no room.
func TestAdoptionIsVerified(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		topic := a.send(room, stateDraft(alice, "m.room.topic", `{"topic":"x"}`))
		join, err := b.handOver(room, member(bob, bob, "join"), a)
		if err != nil {
			t.Fatal(err)
		}
		ctx := context.Background()
		if err := b.engine.BeginJoin(ctx, room, "10"); err != nil {
			t.Fatal(err)
		}
		admission, err := a.engine.AcceptMembership(ctx, "b.example", pdu.Handover{Room: room, EventID: join.ID(), Membership: "join"}, join.JSON())
		if err != nil {
			t.Fatal(err)
		}
		without := func(typ string) (list []*event.Event) {
			return slices.DeleteFunc(slices.Clone(a.events(admission.StateBefore)), func(e *event.Event) bool { return e.Type() == typ })
		}
		forged := func(e *event.Event) *event.Event {
			text := strings.Replace(string(e.JSON()), `"ed25519:1":"`, `"ed25519:1":"AAAA`, 1)
			bad, err := event.Parse(e.Version(), []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			return bad
		}
		create := a.stateEvent(room, createSlot)
		levels := a.stateEvent(room, levelsSlot)
		usurped := build(t, room, stateDraft(mal, "m.room.name", `{"name":"mine"}`), []*event.Event{topic}, []*event.Event{create, levels})
		for name, state := range map[string][]*event.Event{
			"nothing":       nil,
			"no create":     without("m.room.create"),
			"forged create": append(without("m.room.create"), forged(create)),
			"two topics":    append(slices.Clone(a.events(admission.StateBefore)), build(t, room, stateDraft(alice, "m.room.topic", `{}`), []*event.Event{topic}, nil)),
			"message":       append(slices.Clone(a.events(admission.StateBefore)), build(t, room, text(alice, "x"), []*event.Event{topic}, nil)),
			"no join rules": without("m.room.join_rules"),
			"forged levels": append(without("m.room.power_levels"), forged(levels)),
			"another room":  append(slices.Clone(a.events(admission.StateBefore)), a.stateEvent(a.createPublic("10", alice), rulesSlot)),
		} {
			if err := b.engine.AdoptRoom(ctx, "10", join, state, nil, "a.example"); err == nil {
				t.Fatalf("%s: adopted", name)
			}
			if info, err := b.engine.Room(ctx, room); err != nil || info.Membership != pdu.Joining || len(b.delivered()) != 0 {
				t.Fatalf("%s: %v, %v: want nothing changed", name, info.Membership, err)
			}
		}
		state := append(without("m.room.topic"), forged(topic), usurped)
		if err := b.engine.AdoptRoom(ctx, "10", join, state, a.events(admission.AuthChain), "a.example"); err != nil {
			t.Fatal(err)
		}
		b.wantOutcome(topic, pdu.Dropped, "P-26", "P-15")
		b.wantOutcome(usurped, pdu.Rejected, "P-27", "P-51")
		for _, slot := range []string{"m.room.topic", "m.room.name"} {
			if b.stateEvent(room, event.StateKey{Type: slot}) != nil {
				t.Errorf("%s is in the state", slot)
			}
		}
		if b.stateEvent(room, memberOf(bob)) == nil || b.stateEvent(room, memberOf(alice)) == nil {
			t.Error("members are missing from the state")
		}
	})
}

// A key that cannot be had now may be had later: the joiner is told to try again (5xx), not that it may not join.
func TestHandoverWithoutKey(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		source := &someKeys{without: "b.example"}
		source.down.Store(true)
		n.keys = source
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		join, err := b.handOver(room, member(bob, bob, "join"), a)
		if err != nil {
			t.Fatal(err)
		}
		h := pdu.Handover{Room: room, EventID: join.ID(), Membership: "join"}
		if _, err := a.engine.AcceptMembership(t.Context(), "b.example", h, join.JSON()); errcode(err) != "503 M_UNKNOWN" {
			t.Errorf("join whose key is not to be had: %v, want 503 M_UNKNOWN", err)
		}
	})
}
