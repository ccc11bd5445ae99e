// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"fmt"
	"testing"
)

// A room that lets in who is in another room, with the resident of either kind: it vouches for those who are, and for nobody else.
func TestRestrictedJoins(t *testing.T) {
	p := newPair(t)
	carol := p.synapse.NewClient(t, "carol")
	dave := p.strata.NewMember(t, "dave")
	for _, version := range []string{"8", "10", "12"} {
		for _, side := range []struct {
			name                  string
			host, guest, stranger Member
			hostServer            string
		}{
			{"Strata resides", p.alice, p.bob, carol, p.strata.ServerName()},
			{"Synapse resides", p.bob, p.alice, dave, p.synapse.ServerName()},
		} {
			t.Run("v"+version+"/"+side.name, func(t *testing.T) {
				ctx, cancel := bounded(t, scenarioTimeout)
				defer cancel()
				lobby, err := side.host.CreateRoom(ctx, version)
				if err != nil {
					t.Fatal(err)
				}
				club, err := side.host.CreateRoom(ctx, version)
				if err != nil {
					t.Fatal(err)
				}
				_, err = side.host.SetState(ctx, club, "m.room.join_rules", "", map[string]any{
					"join_rule": "restricted", "allow": []any{map[string]string{"type": "m.room_membership", "room_id": lobby}},
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := side.stranger.Join(ctx, club, side.hostServer); err == nil {
					t.Error("one who is not in the other room was let in")
				}
				for _, room := range []string{lobby, club} {
					if err := side.guest.Join(ctx, room, side.hostServer); err != nil {
						t.Fatalf("join %s: %v", room, err)
					}
				}
				tell(ctx, t, club, side.guest, side.host, "let in")
				tell(ctx, t, club, side.host, side.guest, "welcome")
				compareState(ctx, t, club, side.host, side.guest)
			})
		}
	}
}

// Synapse asks a Strata for what happened before it joined.
func TestSynapseBackfillsFromStrata(t *testing.T) {
	ctx, cancel := bounded(t, scenarioTimeout)
	defer cancel()
	const history = 150 // more than one answer holds
	p := newPair(t)
	room, err := p.alice.CreateRoom(ctx, "10")
	if err != nil {
		t.Fatal(err)
	}
	for n := range history {
		if _, err := p.alice.Send(ctx, room, fmt.Sprintf("long ago %d", n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.bob.Join(ctx, room, p.strata.ServerName()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	if err := p.bob.History(ctx, room, func(e Event) bool {
		seen[e.Body()] = true
		return e.Type != "m.room.create"
	}); err != nil {
		t.Fatal(err)
	}
	for n := range history {
		if body := fmt.Sprintf("long ago %d", n); !seen[body] {
			t.Errorf("Synapse does not show %q", body)
		}
	}
}

// Strata asks a Synapse for what happened before it joined.
func TestStrataBackfillsFromSynapse(t *testing.T) {
	ctx, cancel := bounded(t, scenarioTimeout)
	defer cancel()
	const history = 120 // more than an answer holds
	p := newPair(t)
	for _, version := range []string{"2", "12"} {
		room, err := p.bob.CreateRoom(ctx, version)
		if err != nil {
			t.Fatal(err)
		}
		var old []string
		for n := range history {
			id, err := p.bob.Send(ctx, room, fmt.Sprintf("long ago %d", n))
			if err != nil {
				t.Fatal(err)
			}
			old = append(old, id)
		}
		if err := p.alice.Join(ctx, room, p.synapse.ServerName()); err != nil {
			t.Fatal(err)
		}
		p.awaitWhole(ctx, t, room)
		var reply struct{ Found, Gaps int }
		if err := p.alice.strata.run(ctx, &reply, "room", "backfill", room, "-n", "1000"); err != nil {
			t.Fatal(err)
		}
		if reply.Found < history || reply.Gaps != 0 {
			t.Errorf("version %s: %d events were found and %d gaps are left, want at least %d and none", version, reply.Found, reply.Gaps, history)
		}
		for n, id := range old {
			e, err := p.alice.verdict(ctx, id)
			if err != nil || e.Outcome != "accepted" || e.Body() != fmt.Sprintf("long ago %d", n) {
				t.Fatalf("version %s, event %d: %+v, %v", version, n, e, err)
			}
		}
		tell(ctx, t, room, p.alice, p.bob, "I have read it all")
		compareState(ctx, t, room, p.alice, p.bob)
	}
}
