// SPDX-License-Identifier: Apache-2.0

//go:build interop

package interop

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// crowd is how many members a room has of which a joiner is told later.
const crowd = 12

// Members are left out of the answer to a join, by Synapse always and by Strata when it is asked to; both sides talk at once,
// and end with the same whole state.
func TestJoinsWithoutMembers(t *testing.T) {
	p := newPair(t)
	for _, version := range []string{"1", "12"} {
		t.Run("v"+version+"/Strata joins", func(t *testing.T) {
			ctx, cancel := bounded(t, scenarioTimeout)
			defer cancel()
			room, err := p.bob.CreateRoom(ctx, version)
			if err != nil {
				t.Fatal(err)
			}
			for n := range crowd {
				guest := p.synapse.NewClient(t, fmt.Sprintf("guest-%s-%d", version, n))
				if err := guest.Join(ctx, room, ""); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.alice.Join(ctx, room, p.synapse.ServerName()); err != nil {
				t.Fatal(err)
			}
			tell(ctx, t, room, p.alice, p.bob, "here already")
			tell(ctx, t, room, p.bob, p.alice, "welcome")
			p.awaitWhole(ctx, t, room)
			compareState(ctx, t, room, p.alice, p.bob)
		})
		t.Run("v"+version+"/Synapse joins", func(t *testing.T) {
			ctx, cancel := bounded(t, scenarioTimeout)
			defer cancel()
			room, err := p.alice.CreateRoom(ctx, version)
			if err != nil {
				t.Fatal(err)
			}
			for n := range crowd {
				guest := p.strata.NewMember(t, fmt.Sprintf("guest-%s-%d", version, n))
				if err := guest.Join(ctx, room, p.strata.ServerName()); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.bob.Join(ctx, room, p.strata.ServerName()); err != nil {
				t.Fatal(err)
			}
			tell(ctx, t, room, p.bob, p.alice, "here already")
			tell(ctx, t, room, p.alice, p.bob, "welcome")
			if members, err := p.bob.Members(ctx, room); err != nil || len(members) != crowd+2 { // it waits for the whole state
				t.Errorf("Synapse knows %d members, %v; want %d", len(members), err, crowd+2)
			}
			compareState(ctx, t, room, p.alice, p.bob)
		})
	}
}

// awaitWhole waits until Strata has the whole state of a room, which it must not have had from the beginning.
func (p *pair) awaitWhole(ctx context.Context, t *testing.T, room string) {
	t.Helper()
	pause := time.NewTicker(readyPoll)
	defer pause.Stop()
wait:
	for {
		var reply struct{ Partial bool }
		if err := p.alice.strata.run(ctx, &reply, "room", "show", room, "--no-state"); err != nil {
			t.Fatal(err)
		}
		if !reply.Partial {
			break wait
		}
		select {
		case <-pause.C:
		case <-ctx.Done():
			t.Fatal("the room is still partial")
		}
	}
	log, err := os.ReadFile(p.alice.strata.now.logFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, "pdu.completed") && strings.Contains(line, room) {
			return
		}
	}
	t.Error("the room was never partial")
}
