// SPDX-License-Identifier: Apache-2.0

package simnet

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// awayEvents is how much happens while the server is away; the gate makes do with a part of the 5,000 of a week.
var awayEvents = flag.Int("away", 600, "events while a server is away")

// away is servers that share many rooms, and one of them that is away for long.
type away struct {
	t     *testing.T
	world *World
	rooms []ident.RoomID
}

// newAway has a make rooms that b and c join. Of the servers those named in stock are not ours.
func newAway(t *testing.T, seed Seed, rooms int, stock ...string) *away {
	t.Helper()
	return newAwayOf(t, seed, rooms, &Script{Servers: []string{"a", "b", "c"}, Stock: stock})
}

// newAwayOf is newAway for the servers of a script.
func newAwayOf(t *testing.T, seed Seed, rooms int, script *Script) *away {
	t.Helper()
	w, err := NewWorld(seed, script, "10", t.TempDir)
	if err != nil {
		t.Fatal(err)
	}
	s := &away{t: t, world: w}
	ctx := context.Background()
	a := w.nodes[0].await()
	for i := range rooms {
		id, err := a.CreateRoom(ctx, messaging.CreateRoom{Creator: w.nodes[0].user, Version: "10", Public: true, Name: fmt.Sprint("room ", i)})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range w.nodes[1:] {
			if err := n.await().Join(ctx, n.user, id, []ident.ServerName{"a.example"}); err != nil {
				t.Fatal(err)
			}
		}
		s.rooms = append(s.rooms, id)
	}
	w.settle()
	return s
}

// talk has a and b say so much in all rooms, a thing a second, and gives the most that a's log held meanwhile.
func (s *away) talk(events int) (longest int) {
	s.t.Helper()
	for i := range events {
		n := s.world.nodes[i/len(s.rooms)%2]
		room := s.rooms[i%len(s.rooms)]
		for range 100 {
			server := n.await()
			_, err := server.Send(context.Background(), room, n.user, "m.room.message", map[string]string{"msgtype": "m.text", "body": fmt.Sprint(i)})
			if err == nil {
				break
			}
			if !dying(err) {
				s.t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(time.Second)
		if i%50 == 0 {
			longest = max(longest, s.logged(s.world.nodes[0]))
		}
	}
	return longest
}

// logged is how many rows a node's outbound log has that c may need.
func (s *away) logged(n *node) (rows int) {
	s.t.Helper()
	err := n.await().Store().View(context.Background(), func(tx *persistence.Tx) (err error) {
		rows, err = tx.QueueLength(persistence.Destination{Server: "c.example"}, 100_000)
		return err
	})
	if err != nil && !dying(err) {
		s.t.Fatal(err)
	}
	return rows
}

// converged checks that all servers end with the same in every room.
func (s *away) converged() {
	s.t.Helper()
	ctx := context.Background()
	for _, room := range s.rooms {
		var want []ident.EventID
		var state map[ident.EventID]bool
		for _, n := range s.world.nodes {
			info, err := n.await().Engine().Room(ctx, room)
			if err != nil {
				s.t.Fatal(err)
			}
			ends := slices.Sorted(slices.Values(info.Extremities))
			list, err := n.await().Engine().State(ctx, room)
			if err != nil {
				s.t.Fatal(err)
			}
			now := map[ident.EventID]bool{}
			for _, e := range list {
				now[e.ID()] = true
			}
			if want == nil {
				want, state = ends, now
			}
			same := len(now) == len(state)
			for id := range now {
				same = same && state[id]
			}
			if !slices.Equal(ends, want) || !same {
				s.t.Errorf("%s ends %s with %v and %d state events, the first server with %v and %d", n.name, room, ends, len(now), want, len(state))
			}
		}
	}
	for _, fault := range slices.Concat(s.world.Net.Faults(), s.world.Faults()) {
		s.t.Error(fault)
	}
}

// A server is away while much happens in twenty rooms: the log of those who write to it stays short, and when it is back all rooms
// are the same everywhere. It, or who writes to it, may be killed in the middle of that (T-12, T-14, T-15).
func TestAway(t *testing.T) {
	const rooms = 20
	for _, tt := range []struct {
		name   string
		crash  int // the node that is killed after its return, -1 for none
		point  persistence.Point
		commit int
	}{
		{"undisturbed", -1, 0, 0},
		{"the sender is killed before a commit", 0, persistence.BeforeCommit, 2},
		{"the sender is killed after a commit", 0, persistence.AfterCommit, 3},
		{"who is back is killed", 2, persistence.BeforeCommit, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, 1)
			synctest.Test(t, func(t *testing.T) {
				s := newAway(t, 1, rooms)
				defer s.world.Close()
				s.world.Net.Cut([]string{"a.example", "b.example"}, []string{"c.example"})
				events := *awayEvents
				if tt.crash >= 0 {
					events = min(events, 300)
				}
				if longest, most := s.talk(events), backlog.Items+rooms+100; longest > most {
					t.Errorf("%d rows wait for a server that is away, want at most %d", longest, most)
				}
				if tt.crash >= 0 {
					s.world.nodes[tt.crash].planCrash(&crash{point: tt.point, commits: tt.commit})
				}
				s.world.Net.Heal()
				s.world.settle()
				for _, n := range s.world.nodes {
					n.planCrash(nil)
				}
				s.talk(2 * rooms) // the last words reference what there is
				s.world.settle()
				s.converged()
			})
		})
	}
}

// A server was down for long. What a Strata has for it, it pulls; a stock server is asked once, sends by itself, and is not asked
// again after the next outage. Nothing comes twice, and all rooms end the same.
func TestAwayPulls(t *testing.T) {
	for _, tt := range []struct {
		name  string
		crash int // of c's commits after its return, 0 for none
	}{{"undisturbed", 0}, {"killed while it pulls", 9}} {
		t.Run(tt.name, func(t *testing.T) {
			cryptotest.SetGlobalRandom(t, 1)
			synctest.Test(t, func(t *testing.T) {
				const rooms = 6
				s := newAway(t, 1, rooms, "b")
				defer s.world.Close()
				c := s.world.nodes[2]
				for range 2 {
					c.leave(10 * time.Minute)
					time.Sleep(time.Second)
					s.talk(120)
					if tt.crash > 0 {
						c.planCrash(&crash{point: persistence.BeforeCommit, commits: tt.crash})
					}
					c.await()
					s.world.settle()
					c.planCrash(nil)
				}
				s.talk(2 * rooms)
				s.world.settle()
				s.converged()
				ours, stock := 0, 0
				for _, line := range s.world.Timeline.Lines() {
					if strings.Contains(line, "c.example") && strings.Contains(line, "transaction.pulled") {
						if strings.Contains(line, "From:a.example") && !strings.Contains(line, "Transactions:0 ") {
							ours++
						}
						if strings.Contains(line, "Stock:true") {
							stock++
						}
					}
				}
				if tt.crash == 0 && ours < 2 || stock != 1 { // who was killed is sent the rest: it was not away for long
					t.Errorf("pulled %d times from a server that can be pulled from, want after each outage; found that one is stock %d times, want once", ours, stock)
				}
			})
		})
	}
}
