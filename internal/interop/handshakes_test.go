// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"context"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/transport/ident"
)

// Each handshake of a user with a room of the other server, in both directions. Joins and restricted joins have their own tests. Synapse
// does not tell another server that it has turned a knock of its user down, nor take that from another.
func TestHandshakes(t *testing.T) {
	d := newDuo(t)
	bob := d.synapse.NewClient(t, "bob")
	for _, test := range []struct {
		name     string
		versions []string
		play     func(context.Context, *testing.T, *duo, *Client, string)
	}{
		{"Strata invites", []string{"1", "2", "5", "6", "10", "11", "12"}, strataInvites},
		{"Synapse invites", []string{"1", "2", "5", "6", "10", "11", "12"}, synapseInvites},
		{"Synapse's user rejects", []string{"2", "10", "12"}, synapseRejects},
		{"Strata's user rejects", []string{"2", "10", "12"}, strataRejects},
		{"Strata takes an invitation back", []string{"2", "10", "12"}, strataRetracts},
		{"Synapse takes an invitation back", []string{"2", "10", "12"}, synapseRetracts},
		{"Strata's user knocks", []string{"7", "10", "12"}, strataKnocks},
		{"Synapse's user knocks", []string{"7", "10", "12"}, synapseKnocks},
		{"Strata's user takes a knock back", []string{"7", "12"}, strataKnocksNoMore},
	} {
		for _, version := range test.versions {
			t.Run(test.name+"/v"+version, func(t *testing.T) {
				ctx, cancel := bounded(t, scenarioTimeout)
				defer cancel()
				test.play(ctx, t, d, bob, version)
			})
		}
	}
}

// ours is a room of alice's, in which nobody else is.
func (d *duo) ours(ctx context.Context, t *testing.T, version, rule string) ident.RoomID {
	t.Helper()
	room, err := d.strata.server.CreateRoom(ctx, messaging.CreateRoom{Creator: d.alice(), Version: version, Name: "Ours", State: []messaging.State{
		{Type: "m.room.join_rules", Content: map[string]string{"join_rule": rule}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return room
}

// theirs is a room of bob's, in which nobody else is.
func theirs(ctx context.Context, t *testing.T, bob *Client, version, rule string) string {
	t.Helper()
	room, err := bob.CreatePrivateRoom(ctx, version)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.SetState(ctx, room, "m.room.join_rules", "", map[string]string{"join_rule": rule}); err != nil {
		t.Fatal(err)
	}
	return room
}

func (d *duo) invites(ctx context.Context, t *testing.T, bob *Client, room ident.RoomID) {
	t.Helper()
	if _, err := d.strata.server.Invite(ctx, room, d.alice(), ident.UserID(bob.ID()), map[string]string{"reason": "tea"}); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.AwaitMembership(ctx, string(room), bob.ID(), "invite"); err != nil {
		t.Fatal(err)
	}
}

func (d *duo) isInvited(ctx context.Context, t *testing.T, bob *Client, room string) messaging.Standing {
	t.Helper()
	if err := bob.Invite(ctx, room, string(d.alice())); err != nil {
		t.Fatal(err)
	}
	told, err := d.strata.awaitStanding(ctx, room, "invite")
	if err != nil {
		t.Fatal(err)
	}
	return told
}

// joinTheirs joins a room of bob's and waits until all of it is here.
func (d *duo) joinTheirs(ctx context.Context, t *testing.T, bob *Client, room string) {
	t.Helper()
	if err := d.strata.server.Join(ctx, d.alice(), ident.RoomID(room), nil); err != nil {
		t.Fatalf("join: %v", err)
	}
	if _, err := bob.AwaitMembership(ctx, room, string(d.alice()), "join"); err != nil {
		t.Error(err)
	}
}

func strataInvites(ctx context.Context, t *testing.T, d *duo, bob *Client, version string) {
	room := d.ours(ctx, t, version, "invite")
	d.invites(ctx, t, bob, room)
	if err := bob.Join(ctx, string(room), string(d.strata.server.Name())); err != nil {
		t.Fatal(err)
	}
	if err := d.strata.awaitMember(ctx, string(room), bob.ID(), "join"); err != nil {
		t.Error(err)
	}
}

func synapseInvites(ctx context.Context, t *testing.T, d *duo, bob *Client, version string) {
	room := theirs(ctx, t, bob, version, "invite")
	told := d.isInvited(ctx, t, bob, room)
	shown := ""
	for _, stripped := range told.State {
		shown += string(stripped)
	}
	if told.Version != version || string(told.Sender) != bob.ID() || !strings.Contains(shown, "m.room.create") {
		t.Errorf("told of version %s by %s, with %s", told.Version, told.Sender, shown)
	}
	d.joinTheirs(ctx, t, bob, room)
}

func synapseRejects(ctx context.Context, t *testing.T, d *duo, bob *Client, version string) {
	room := d.ours(ctx, t, version, "invite")
	d.invites(ctx, t, bob, room)
	if err := bob.Leave(ctx, string(room)); err != nil {
		t.Fatal(err)
	}
	if err := d.strata.awaitMember(ctx, string(room), bob.ID(), "leave"); err != nil {
		t.Error(err)
	}
}

func strataRejects(ctx context.Context, t *testing.T, d *duo, bob *Client, version string) {
	room := theirs(ctx, t, bob, version, "invite")
	d.isInvited(ctx, t, bob, room)
	d.leaves(ctx, t, bob, room)
}

// leaves has alice leave a room that her server is not in.
func (d *duo) leaves(ctx context.Context, t *testing.T, bob *Client, room string) {
	t.Helper()
	if err := d.strata.server.Leave(ctx, d.alice(), ident.RoomID(room)); err != nil {
		t.Fatal(err)
	}
	told, err := d.strata.awaitStanding(ctx, room, "leave")
	if err != nil || told.Event == nil {
		t.Errorf("told %+v, %v", told, err)
	}
	if _, err := bob.AwaitMembership(ctx, room, string(d.alice()), "leave"); err != nil {
		t.Error(err)
	}
}

func strataRetracts(ctx context.Context, t *testing.T, d *duo, bob *Client, version string) {
	room := d.ours(ctx, t, version, "invite")
	d.invites(ctx, t, bob, room)
	if _, err := d.strata.server.SendState(ctx, room, d.alice(), "m.room.member", bob.ID(), map[string]string{"membership": "leave"}); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.AwaitMembership(ctx, string(room), bob.ID(), "leave"); err != nil {
		t.Error(err)
	}
}

func synapseRetracts(ctx context.Context, t *testing.T, d *duo, bob *Client, version string) {
	room := theirs(ctx, t, bob, version, "invite")
	d.isInvited(ctx, t, bob, room)
	if err := bob.Kick(ctx, room, string(d.alice())); err != nil {
		t.Fatal(err)
	}
	if told, err := d.strata.awaitStanding(ctx, room, "leave"); err != nil || string(told.Sender) != bob.ID() {
		t.Errorf("told %+v, %v", told, err)
	}
}

func (d *duo) knocks(ctx context.Context, t *testing.T, bob *Client, version string) (room string) {
	t.Helper()
	room = theirs(ctx, t, bob, version, "knock")
	if err := d.strata.server.Knock(ctx, d.alice(), ident.RoomID(room), map[string]string{"reason": "tea"}, d.host); err != nil {
		t.Fatal(err)
	}
	told, err := d.strata.awaitStanding(ctx, room, "knock")
	if err != nil || len(told.State) < 3 {
		t.Errorf("told %+v, %v", told, err)
	}
	if _, err := bob.AwaitMembership(ctx, room, string(d.alice()), "knock"); err != nil {
		t.Fatal(err)
	}
	return room
}

func strataKnocks(ctx context.Context, t *testing.T, d *duo, bob *Client, version string) {
	room := d.knocks(ctx, t, bob, version)
	d.isInvited(ctx, t, bob, room)
	d.joinTheirs(ctx, t, bob, room)
}

func strataKnocksNoMore(ctx context.Context, t *testing.T, d *duo, bob *Client, version string) {
	d.leaves(ctx, t, bob, d.knocks(ctx, t, bob, version))
}

func synapseKnocks(ctx context.Context, t *testing.T, d *duo, bob *Client, version string) {
	room := d.ours(ctx, t, version, "knock")
	if err := bob.Knock(ctx, string(room), string(d.strata.server.Name())); err != nil {
		t.Fatal(err)
	}
	if err := d.strata.awaitMember(ctx, string(room), bob.ID(), "knock"); err != nil {
		t.Fatal(err)
	}
	d.invites(ctx, t, bob, room)
	if err := bob.Join(ctx, string(room), string(d.strata.server.Name())); err != nil {
		t.Fatal(err)
	}
	if err := d.strata.awaitMember(ctx, string(room), bob.ID(), "join"); err != nil {
		t.Error(err)
	}
}
