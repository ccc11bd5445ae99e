// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// A user is put out of rooms while their server is away for long, and another of the same server stays: when it is back its homeserver
// hears of that from the event that did it, be it that the server which made it tells, or that another names it in the state.
func TestAwayRemoved(t *testing.T) {
	const rooms, before, after = 3, 30, 120
	for _, tt := range []struct {
		name    string
		late    bool // it happens near the end
		severed bool // who did it is not to be had any more
		purged  bool // nobody gives the events between
	}{
		{"long ago", false, false, true},
		{"lately", true, false, true},
		{"long ago, by who is gone", false, true, true},
		{"lately, by who is gone", true, true, true},
		{"all events are to be had", false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, 1)
			synctest.Test(t, func(t *testing.T) {
				script := &Script{Servers: []string{"a", "b", "c"}}
				if tt.purged {
					script.Purged = []string{"a", "b"}
				}
				s := newAwayOf(t, 1, rooms, script)
				defer s.world.Close()
				a, c := s.world.nodes[0], s.world.nodes[2]
				const user = ident.UserID("@d:c.example")
				var removals []ident.EventID
				for _, room := range s.rooms {
					if err := c.await().Join(context.Background(), user, room, []ident.ServerName{"a.example"}); err != nil {
						t.Fatal(err)
					}
				}
				s.world.settle()
				s.world.Net.Cut([]string{"a.example", "b.example"}, []string{"c.example"})
				first, rest := before, after
				if tt.late {
					first, rest = after, 3
				}
				s.talk(first)
				for i, room := range s.rooms {
					membership := []string{"leave", "ban"}[i%2]
					id, err := a.await().SendState(context.Background(), room, a.user, "m.room.member", string(user), map[string]string{"membership": membership})
					if err != nil {
						t.Fatal(err)
					}
					removals = append(removals, id)
				}
				s.talk(rest)
				time.Sleep(2 * time.Hour)
				s.talk(2 * rooms)
				if tt.severed {
					s.world.Net.Sever("a.example", "c.example")
				}
				s.world.Net.Cut([]string{"a.example", "b.example", "c.example"})
				time.Sleep(3 * time.Hour)
				s.told(c, user, removals)
				s.world.Net.Heal()
				s.world.settle()
				s.talk(2 * rooms) // the last words reference what there is
				s.world.settle()
				s.converged()
			})
		})
	}
}

// told checks that a node's homeserver was told of the removals of a user, each once, and that the state says the same.
func (s *away) told(n *node, user ident.UserID, removals []ident.EventID) {
	s.t.Helper()
	var heard []ident.EventID
	for _, c := range n.journal.all() {
		heard = append(heard, c.Event)
	}
	for i, id := range removals {
		now, err := n.await().Engine().StateEvent(context.Background(), s.rooms[i], event.StateKey{Type: "m.room.member", Key: string(user)})
		if err != nil || now == nil || now.ID() != id {
			s.t.Errorf("%s: the state has %v of %s, %v, want %s", s.rooms[i], now, user, err, id)
		}
		if !slices.Contains(heard, id) {
			s.t.Errorf("%s: %s was not told that %s put out %s", s.rooms[i], n.name, id, user)
		}
	}
	if s.t.Failed() {
		s.t.Log(fmt.Sprint(len(heard), " events were called back"))
	}
}
