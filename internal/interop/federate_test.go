// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const (
	// scenarioTimeout bounds one scenario, from the creation of its room. It takes less than a second when all is well.
	scenarioTimeout = time.Minute
	// rounds is how often each side speaks: the first message shows that a transaction arrives, the later ones that
	// the sender's queue goes on after it.
	rounds = 3
)

// TestMain lets go of the command under test, which by then has been built.
func TestMain(m *testing.M) {
	code := m.Run()
	if binary, err := strataCommand(); err == nil {
		_ = os.RemoveAll(filepath.Dir(binary)) // temporary
	}
	os.Exit(code)
}

// pairing is a row of an interoperability table: two kinds of server and the room versions that both know. Each version
// is played in both directions: once A creates the room and B joins, once the other way round.
type pairing struct {
	a, b     Start
	versions []string
}

// TestSynapseWithSynapse proves the bench itself: what fails here is no fault of Strata.
func TestSynapseWithSynapse(t *testing.T) {
	pairing{StartSynapse, StartSynapse, []string{"10", "11", "12"}}.play(t)
}

// TestDendriteWithSynapse proves the bench's other peer.
func TestDendriteWithSynapse(t *testing.T) {
	pairing{StartDendrite, StartSynapse, []string{"10", "11", "12"}}.play(t)
}

// TestStrataWithSynapse is what the bench is for.
func TestStrataWithSynapse(t *testing.T) {
	pairing{StartStrata, StartSynapse, []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"}}.play(t)
}

// TestStrataWithDendrite plays the one version that all of its deployments have.
func TestStrataWithDendrite(t *testing.T) {
	pairing{StartStrata, StartDendrite, []string{"10"}}.play(t)
}

// play starts both servers once, then runs every scenario that they can take part in, by version and direction.
func (p pairing) play(t *testing.T) {
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	a := p.a(t, filepath.Join(dir, "a"), ca)
	b := p.b(t, filepath.Join(dir, "b"), ca)
	for _, version := range p.versions {
		t.Run("v"+version+"/A creates", func(t *testing.T) { federate(t, a, b, version) })
		t.Run("v"+version+"/B creates", func(t *testing.T) { federate(t, b, a, version) })
		peerA, isPeerA := a.(*Peer)
		peerB, isPeerB := b.(*Peer)
		if isPeerA && isPeerB {
			t.Run("v"+version+"/A invites", func(t *testing.T) { invite(t, peerA, peerB, version) })
			t.Run("v"+version+"/B invites", func(t *testing.T) { invite(t, peerB, peerA, version) })
		}
	}
}

// federate is the scenario for any two servers: create, join over federation, talk both ways, see the same events under
// the same IDs, and have the same state.
func federate(t *testing.T, creator, joiner Server, version string) {
	ctx, cancel := bounded(t, scenarioTimeout)
	defer cancel()
	alice := creator.NewMember(t, "alice-v"+version)
	bob := joiner.NewMember(t, "bob-v"+version)

	room, err := alice.CreateRoom(ctx, version)
	if err != nil {
		t.Fatalf("create a version %s room at %s: %v", version, creator.Describe(), err)
	}
	if err := bob.Join(ctx, room, creator.ServerName()); err != nil {
		t.Fatalf("join %s from %s: %v", room, joiner.Describe(), err)
	}
	for round := range rounds {
		tell(ctx, t, room, bob, alice, fmt.Sprintf("from the joiner, %d", round))
		tell(ctx, t, room, alice, bob, fmt.Sprintf("from the creator, %d", round))
	}
	topic, err := alice.SetState(ctx, room, "m.room.topic", "", map[string]string{"topic": "interoperation"})
	if err != nil {
		t.Fatalf("set the topic: %v", err)
	}
	if _, err := bob.Await(ctx, room, topic); err != nil {
		t.Fatalf("see the topic: %v", err)
	}
	compareState(ctx, t, room, alice, bob)
}

// compareState has two members name the event in every slot of the room's state. Both must be in it.
func compareState(ctx context.Context, t *testing.T, room string, alice, bob Member) {
	t.Helper()
	var states [2]map[string]string
	for i, member := range []Member{alice, bob} {
		events, err := member.State(ctx, room)
		if err != nil {
			t.Fatalf("state of the room by %s: %v", member.ID(), err)
		}
		states[i] = map[string]string{}
		for _, e := range events {
			states[i][e.Type+"|"+*e.StateKey] = e.ID
		}
	}
	if !maps.Equal(states[0], states[1]) {
		t.Errorf("state by %s: %v\nstate by %s: %v", alice.ID(), states[0], bob.ID(), states[1])
	}
	for _, member := range []Member{alice, bob} {
		if states[0]["m.room.member|"+member.ID()] == "" {
			t.Errorf("%s is not in the room's state: %v", member.ID(), states[0])
		}
	}
}

// tell has one member speak, and the other hear just that.
func tell(ctx context.Context, t *testing.T, room string, speaker, listener Member, body string) {
	t.Helper()
	id, err := speaker.Send(ctx, room, body)
	if err != nil {
		t.Fatalf("send %q: %v", body, err)
	}
	event, err := listener.Await(ctx, room, id)
	if err != nil {
		t.Fatalf("hear %q: %v", body, err)
	}
	if got := event.Body(); got != body {
		t.Errorf("event %s: got body %q, want %q", id, got, body)
	}
}

// invite is the scenario for servers with a client API: one's user invites two of the other's to a private room; one
// refuses, one accepts, talks and leaves; and all along both servers agree on who is in.
func invite(t *testing.T, inviter, invited *Peer, version string) {
	ctx, cancel := bounded(t, scenarioTimeout)
	defer cancel()
	host := inviter.NewClient(t, "host-v"+version)
	guest := invited.NewClient(t, "guest-v"+version)
	stranger := invited.NewClient(t, "stranger-v"+version)

	room, err := host.CreatePrivateRoom(ctx, version)
	if err != nil {
		t.Fatalf("create a private version %s room at %s: %v", version, inviter.Describe(), err)
	}
	for _, c := range []*Client{guest, stranger} {
		if err := host.Invite(ctx, room, c.UserID); err != nil {
			t.Fatalf("invite %s: %v", c.UserID, err)
		}
		witness(ctx, t, room, c, c.UserID, "invite")
	}
	if err := stranger.Leave(ctx, room); err != nil {
		t.Fatalf("refuse the invitation: %v", err)
	}
	witness(ctx, t, room, host, stranger.UserID, "leave")

	if err := guest.Join(ctx, room, ""); err != nil {
		t.Fatalf("accept the invitation: %v", err)
	}
	tell(ctx, t, room, guest, host, "thanks")
	tell(ctx, t, room, host, guest, "welcome")
	checkMembers(ctx, t, room, host, guest)

	if err := guest.Leave(ctx, room); err != nil {
		t.Fatalf("leave: %v", err)
	}
	witness(ctx, t, room, host, guest.UserID, "leave")
}

// witness waits until an observer's server shows a membership.
func witness(ctx context.Context, t *testing.T, room string, observer *Client, userID, membership string) {
	t.Helper()
	if _, err := observer.AwaitMembership(ctx, room, userID, membership); err != nil {
		t.Fatal(err)
	}
}

// checkMembers asks each of the clients for the joined users, who must be the clients themselves.
func checkMembers(ctx context.Context, t *testing.T, room string, clients ...*Client) {
	t.Helper()
	var want []string
	for _, c := range clients {
		want = append(want, c.UserID)
	}
	slices.Sort(want)
	for _, c := range clients {
		got, err := c.Members(ctx, room)
		if err != nil {
			t.Fatalf("members by %s: %v", c.UserID, err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("members by %s: got %v, want %v", c.UserID, got, want)
		}
	}
}
