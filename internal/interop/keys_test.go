// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"context"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// keyTimeout bounds a scenario of servers that have to learn each other's keys anew.
const keyTimeout = 3 * time.Minute

// ownKey is what the command keys show prints of one.
type ownKey struct {
	KeyID string `json:"key_id"`
	Phase string `json:"phase"`
}

// signer is the key with which the server signs.
func (s *Strata) signer(ctx context.Context, t *testing.T) string {
	t.Helper()
	var reply struct{ Keys []ownKey }
	if err := s.run(ctx, &reply, "keys", "show"); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(reply.Keys, func(k ownKey) bool { return k.Phase == "signs" })
	return reply.Keys[i].KeyID
}

// keySources are those who told a server of another's keys.
func (s *Strata) keySources(ctx context.Context, t *testing.T, server string) (sources []string) {
	t.Helper()
	var reply struct {
		Said []struct{ Source string }
	}
	if err := s.run(ctx, &reply, "keys", "show", server); err != nil {
		t.Fatal(err)
	}
	for _, said := range reply.Said {
		sources = append(sources, said.Source)
	}
	return sources
}

// Synapse takes what we sign with a new key, planned or at once; and a Synapse that comes later can check what the old
// keys signed.
func TestSynapseFollowsOurRotation(t *testing.T) {
	ctx, cancel := bounded(t, keyTimeout)
	defer cancel()
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	strata := StartStrata(t, filepath.Join(dir, "strata"), ca).(*Strata)
	near := StartSynapse(t, filepath.Join(dir, "near"), ca).(*Peer)
	p := &pair{strata: strata, synapse: near, alice: strata.NewMember(t, "alice").(*strataMember), bob: near.NewClient(t, "bob")}
	room := p.room(ctx, t, "11")
	first := strata.signer(ctx, t)

	if err := strata.run(ctx, new(any), "keys", "rotate", "--overlap", "3s"); err != nil {
		t.Fatal(err)
	}
	if got := strata.signer(ctx, t); got != first {
		t.Errorf("%s signs before the overlap is over, want %s", got, first)
	}
	tell(ctx, t, room, p.alice, p.bob, "with the first key, the second is published")
	for strata.signer(ctx, t) == first {
		select {
		case <-time.After(readyPoll):
		case <-ctx.Done():
			t.Fatal("the second key never signs")
		}
	}
	tell(ctx, t, room, p.alice, p.bob, "with the second key")
	tell(ctx, t, room, p.bob, p.alice, "I can read it")

	second := strata.signer(ctx, t)
	if err := strata.run(ctx, new(any), "keys", "rotate", "--now"); err != nil {
		t.Fatal(err)
	}
	if third := strata.signer(ctx, t); third == first || third == second {
		t.Errorf("%s signs after %s and %s", third, first, second)
	}
	tell(ctx, t, room, p.alice, p.bob, "with the third key")
	strata.Stop()
	strata.Restart(t)
	tell(ctx, t, room, p.alice, p.bob, "after a restart")

	far := StartSynapse(t, filepath.Join(dir, "far"), ca).(*Peer)
	carol := far.NewClient(t, "carol")
	if err := carol.Join(ctx, room, near.Name); err != nil {
		t.Fatalf("a Synapse that must check what three keys of ours signed: %v", err)
	}
	tell(ctx, t, room, p.alice, carol, "welcome")
	compareState(ctx, t, room, p.alice, carol)
}

// the origin is gone; what it left in the room is checked with its keys as Synapse, a notary, has kept them.
func TestSynapseIsOurNotary(t *testing.T) {
	ctx, cancel := bounded(t, keyTimeout)
	defer cancel()
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	dead := StartStrata(t, filepath.Join(dir, "dead"), ca).(*Strata)
	synapse := StartSynapse(t, filepath.Join(dir, "synapse"), ca).(*Peer)
	p := &pair{strata: dead, synapse: synapse, alice: dead.NewMember(t, "alice").(*strataMember), bob: synapse.NewClient(t, "bob")}
	room := p.room(ctx, t, "10")
	tell(ctx, t, room, p.alice, p.bob, "my last words")
	dead.Stop()

	late := StartStrata(t, filepath.Join(dir, "late"), ca).(*Strata)
	carol := late.NewMember(t, "carol")
	if err := carol.Join(ctx, room, synapse.Name); err != nil {
		t.Fatal(err)
	}
	compareState(ctx, t, room, carol, p.bob)
	tell(ctx, t, room, p.bob, carol, "she is gone")
	if sources := late.keySources(ctx, t, dead.name); !slices.Equal(sources, []string{synapse.Name}) {
		t.Errorf("the keys of the dead server are from %v, want %s", sources, synapse.Name)
	}
}

// the other way round: Synapse asks us, the notary that it trusts, and believes what we signed.
func TestWeAreSynapsesNotary(t *testing.T) {
	ctx, cancel := bounded(t, keyTimeout)
	defer cancel()
	ca, err := NewCA(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	dead := StartStrata(t, filepath.Join(dir, "dead"), ca).(*Strata)
	notary := StartStrata(t, filepath.Join(dir, "notary"), ca).(*Strata)
	alice, nina := dead.NewMember(t, "alice"), notary.NewMember(t, "nina")
	room, err := alice.CreateRoom(ctx, "10")
	if err != nil {
		t.Fatal(err)
	}
	if err := nina.Join(ctx, room, dead.name); err != nil {
		t.Fatal(err)
	}
	tell(ctx, t, room, alice, nina, "my last words")
	dead.Stop()

	synapse := SynapseTrusting(notary.name)(t, filepath.Join(dir, "synapse"), ca).(*Peer)
	sam := synapse.NewClient(t, "sam")
	if err := sam.Join(ctx, room, notary.name); err != nil {
		t.Fatalf("a Synapse that has a dead server's keys from us: %v", err)
	}
	tell(ctx, t, room, nina, sam, "she is gone")
	compareState(ctx, t, room, nina, sam)
}
