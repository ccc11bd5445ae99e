// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	// outageTimeout bounds a scenario in which servers go down and come back.
	outageTimeout = 4 * time.Minute
	// outageEvents is what a server misses while it is down: fifty times what a peer hands out at a time.
	outageEvents = 1000
)

// pair is a Strata and a Synapse with a user each in a room of each other's.
type pair struct {
	strata  Server
	synapse *Peer
	alice   *strataMember
	bob     *Client
}

// newPair starts both, Strata with these settings beside the usual ones.
func newPair(t *testing.T, settings ...string) *pair {
	t.Helper()
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	p := &pair{
		strata:  startStrata(t, filepath.Join(dir, "strata"), ca, "debug", settings...),
		synapse: StartSynapse(t, filepath.Join(dir, "synapse"), ca).(*Peer),
	}
	p.alice = p.strata.NewMember(t, "alice").(*strataMember)
	p.bob = p.synapse.NewClient(t, "bob")
	return p
}

// room is one that alice made and bob joined.
func (p *pair) room(ctx context.Context, t *testing.T, version string) string {
	t.Helper()
	room, err := p.alice.CreateRoom(ctx, version)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.bob.Join(ctx, room, p.strata.ServerName()); err != nil {
		t.Fatal(err)
	}
	tell(ctx, t, room, p.bob, p.alice, "here I am")
	return room
}

// A Synapse that has been started anew tells a peer that was down of the latest event only: the peer must find out for itself
// about the thousand before it.
func TestStrataClosesALongGap(t *testing.T) {
	ctx, cancel := bounded(t, outageTimeout)
	defer cancel()
	p := newPair(t)
	room := p.room(ctx, t, "10")
	p.strata.Stop()
	var missed []string
	for n := range outageEvents {
		id, err := p.bob.Send(ctx, room, fmt.Sprintf("missed %d", n))
		if err != nil {
			t.Fatal(err)
		}
		missed = append(missed, id)
	}
	p.synapse.Stop()
	p.synapse.Restart(t)
	p.strata.Restart(t)
	begun := time.Now()
	tell(ctx, t, room, p.bob, p.alice, "are you back?")
	for _, id := range missed {
		if _, err := p.alice.Await(ctx, room, id); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d missed events were here %s after the next one was sent", len(missed), time.Since(begun).Round(time.Millisecond))
	tell(ctx, t, room, p.alice, p.bob, "I am")
	compareState(ctx, t, room, p.alice, p.bob)
}

// A peer that was down gets everything that was sent meanwhile. Synapse takes transactions faster than it works them off, and lets go
// of what is staged beyond a hundred events of a room when others follow it: those it asks for again when bob reads on.
func TestSynapseGetsWhatItMissed(t *testing.T) {
	ctx, cancel := bounded(t, outageTimeout)
	defer cancel()
	p := newPair(t)
	room := p.room(ctx, t, "11")
	p.synapse.Stop()
	want := []string{"are you back?"} // the newest first
	for n := range 150 {              // three transactions
		text := fmt.Sprintf("missed %d", n)
		if _, err := p.alice.Send(ctx, room, text); err != nil {
			t.Fatal(err)
		}
		want = slices.Insert(want, 1, text)
	}
	p.synapse.Restart(t)
	tell(ctx, t, room, p.alice, p.bob, want[0])
	for {
		messages, err := p.bob.Messages(ctx, room, len(want))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, message := range messages {
			got = append(got, message.Body())
		}
		diff := cmp.Diff(want, got)
		if diff == "" {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("messages by Synapse -want +got\n%s", diff)
		case <-time.After(time.Second):
		}
	}
}

// Each side goes on alone while the other is down; then both see both branches, and have the same state.
func TestForksMerge(t *testing.T) {
	ctx, cancel := bounded(t, outageTimeout)
	defer cancel()
	p := newPair(t)
	rooms := map[string]string{}
	for _, version := range []string{"1", "6", "12"} {
		room := p.room(ctx, t, version)
		if _, err := p.alice.SetState(ctx, room, "m.room.power_levels", "", powerLevels(p, version)); err != nil {
			t.Fatal(err)
		}
		tell(ctx, t, room, p.alice, p.bob, "you may set the topic")
		rooms[version] = room
	}
	p.synapse.Stop()
	ours, theirs := map[string][]string{}, map[string][]string{}
	for version, room := range rooms {
		ours[version] = p.branch(ctx, t, room, p.alice, "of alice")
	}
	p.strata.Stop()
	p.synapse.Restart(t)
	for version, room := range rooms {
		theirs[version] = p.branch(ctx, t, room, p.bob, "of bob")
	}
	p.strata.Restart(t)
	for version, room := range rooms {
		t.Run("v"+version, func(t *testing.T) {
			for _, id := range ours[version] {
				if _, err := p.bob.Await(ctx, room, id); err != nil {
					t.Error(err)
				}
			}
			for _, id := range theirs[version] {
				if _, err := p.alice.Await(ctx, room, id); err != nil {
					t.Error(err)
				}
			}
			tell(ctx, t, room, p.alice, p.bob, "together again")
			tell(ctx, t, room, p.bob, p.alice, "indeed")
			compareState(ctx, t, room, p.alice, p.bob)
		})
	}
}

// branch is what a member does alone: it talks, and sets name and topic.
func (p *pair) branch(ctx context.Context, t *testing.T, room string, member Member, name string) (ids []string) {
	t.Helper()
	for _, slot := range []string{"name", "topic"} {
		id, err := member.SetState(ctx, room, "m.room."+slot, "", map[string]string{slot: slot + " " + name})
		if err != nil {
			t.Fatal(err)
		}
		said, err := member.Send(ctx, room, "said by "+name)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id, said)
	}
	return ids
}

// powerLevels lets bob do what alice does. Version 12 leaves the creator out: her power is infinite.
func powerLevels(p *pair, version string) map[string]any {
	users := map[string]int{p.bob.UserID: 100}
	if version != "12" {
		users[p.alice.userID] = 100
	}
	return map[string]any{"users": users}
}

// A user who was banned and does not know it yet goes on talking: that is kept from users, and both servers agree on who is in.
func TestBannedUserIsSoftFailed(t *testing.T) {
	ctx, cancel := bounded(t, outageTimeout)
	defer cancel()
	p := newPair(t)
	room := p.room(ctx, t, "10")
	carol := p.synapse.NewClient(t, "carol")
	if err := carol.Join(ctx, room, p.strata.ServerName()); err != nil {
		t.Fatal(err)
	}
	tell(ctx, t, room, carol, p.alice, "me too")
	p.synapse.Stop()
	ban, err := p.alice.SetState(ctx, room, "m.room.member", p.bob.UserID, map[string]string{"membership": "ban"})
	if err != nil {
		t.Fatal(err)
	}
	p.strata.Stop()
	p.synapse.Restart(t)
	unaware, err := p.bob.Send(ctx, room, "am I banned?")
	if err != nil {
		t.Fatal(err)
	}
	p.strata.Restart(t)
	if _, err := carol.Await(ctx, room, ban); err != nil {
		t.Error(err)
	}
	outcome, err := p.alice.AwaitOutcome(ctx, unaware)
	if err != nil || outcome != "soft-failed" {
		t.Errorf("what the banned user said is %q, %v; want soft-failed", outcome, err)
	}
	if _, err := p.bob.Send(ctx, room, "and now?"); err == nil {
		t.Error("Synapse lets the banned user talk")
	}
	tell(ctx, t, room, carol, p.alice, "he is gone")
	compareState(ctx, t, room, p.alice, carol)
}
