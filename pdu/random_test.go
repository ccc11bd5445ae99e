// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/transport/ident"
)

// Servers that send, lose, reorder and restart at random end up with the same state and the same extremities once they hear
// of each other again, and nothing stays in quarantine.
func TestRandomNetworksConverge(t *testing.T) {
	seeds := 12
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		version := []string{"1", "2", "6", "10", "11", "12"}[seed%6]
		t.Run(fmt.Sprintf("seed %d, version %s", seed, version), func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) { runRandom(t, n, rand.New(rand.NewPCG(uint64(seed), 0)), version) })
		})
	}
}

func runRandom(t *testing.T, n *network, random *rand.Rand, version string) {
	users := []ident.UserID{alice, bob, carol}
	servers := []*server{n.start("a.example"), n.start("b.example"), n.start("c.example")}
	room := servers[0].createPublic(version, alice)
	for i, s := range servers[1:] {
		s.join(room, users[i+1], servers[0])
		n.deliver()
	}
	levels := `{"users":{"@alice:a.example":100,"@bob:b.example":100,"@carol:c.example":100}}`
	if version == "12" {
		levels = `{"users":{"@bob:b.example":100,"@carol:c.example":100}}`
	}
	servers[0].send(room, stateDraft(alice, "m.room.power_levels", levels))
	n.deliver()

	var pending []queued
	for step := range 80 {
		who := random.IntN(len(servers))
		draft := randomDraft(random, users[who], step, version)
		_, _ = servers[who].engine.Send(t.Context(), room, draft) // what the rules refuse is refused
		pending = append(pending, n.hold()...)
		for len(pending) > 0 && random.IntN(3) > 0 {
			i := random.IntN(len(pending))
			q := pending[i]
			pending = slices.Delete(pending, i, i+1)
			if random.IntN(4) > 0 { // else it is lost
				n.servers[q.to].receive(q.from, q.pdu)
			}
		}
		if random.IntN(25) == 0 {
			servers[random.IntN(len(servers))].restart()
		}
		time.Sleep(time.Duration(random.IntN(5000)) * time.Millisecond)
	}
	for range 4 {
		for i, s := range servers {
			s.send(room, text(users[i], "anyone there?"))
			n.deliver()
			time.Sleep(2 * time.Hour)
			synctest.Wait()
		}
	}
	for _, s := range servers[1:] {
		if diff := cmp.Diff(servers[0].state(room), s.state(room)); diff != "" {
			t.Errorf("%s: state differs: %s", s.name, diff)
		}
		if diff := cmp.Diff(servers[0].extremities(room), s.extremities(room)); diff != "" {
			t.Errorf("%s: extremities differ: %s", s.name, diff)
		}
	}
	for _, s := range servers {
		for _, id := range s.delivered() {
			for _, other := range servers {
				if got := other.outcome(id); got == pdu.Quarantined || got == pdu.Staged {
					t.Errorf("%s: %s is %v at the end", other.name, id, got)
				}
			}
		}
	}
}

func randomDraft(random *rand.Rand, user ident.UserID, step int, version string) pdu.Draft {
	switch random.IntN(6) {
	case 0:
		return stateDraft(user, "m.room.topic", fmt.Sprintf(`{"topic":"%d"}`, step))
	case 1:
		return stateDraft(user, "m.room.join_rules", fmt.Sprintf(`{"join_rule":%q}`, []string{"public", "invite"}[random.IntN(2)]))
	case 2:
		others := `"@alice:a.example":100,`
		if version == "12" {
			others = ""
		}
		return stateDraft(user, "m.room.power_levels", fmt.Sprintf(
			`{"events_default":%d,"users":{%s"@bob:b.example":100,"@carol:c.example":100}}`, random.IntN(50), others))
	}
	return text(user, fmt.Sprint(step))
}
