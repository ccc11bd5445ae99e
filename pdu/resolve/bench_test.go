// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// conflict is a room with so many members, forked in 10 slots: five profiles and five other slots.
func conflict(tb testing.TB, version string, members int) (room *testRoom, common StateMap, sets []StateMap) {
	s := &script{tb: tb}
	s.begin(version)
	levels := []string{"power", "alice", "power_levels", ".state_default:0"}
	if !s.room.version.HashRoomID {
		levels = append(levels, "alice:100")
	}
	s.event([]string{"create", "alice", "create"})
	s.event([]string{"alice", "alice", "member", "alice", "join"})
	s.event(levels)
	s.event([]string{"rules", "alice", "join_rules", "public"})
	room = s.room
	common = s.after["rules"]
	add := func(state StateMap, id string, typ, sender, key string, authEvents ...ident.EventID) {
		p := plainEvent{
			ID: s.id(id), Type: typ, Key: key, Sender: sender, Content: map[string]any{"membership": "join", "displayname": id},
			Room: s.roomID, Depth: int64(len(room.plain) + 1), TS: int64(len(room.plain)), Prev: []ident.EventID{s.id("rules")},
		}
		if !room.version.HashRoomID {
			p.Auth = append(p.Auth, s.id("create"))
		}
		p.Auth = append(p.Auth, append(authEvents, s.id("power"))...)
		room.add(tb, p)
		state[event.StateKey{Type: typ, Key: key}] = p.ID
	}
	for i := range members {
		id := fmt.Sprintf("join%d", i)
		add(common, id, memberType, user(id), user(id), s.id("rules"))
	}
	for branch := range 2 {
		state := StateMap{}
		for i := range 5 {
			join := fmt.Sprintf("join%d", i*members/5)
			add(state, fmt.Sprintf("profile%d%d", i, branch), memberType, user(join), user(join), s.id("rules"), s.id(join))
			add(state, fmt.Sprintf("slot%d%d", i, branch), fmt.Sprintf("org.example.slot%d", i), user(join), "", s.id(join))
		}
		sets = append(sets, state)
	}
	for key := range sets[0] {
		delete(common, key)
	}
	return room, common, sets
}

// The floor of a resolution is the authorisation of the conflicted events, at a state that is at hand. Neither the cost nor
// the ratio may depend on the members.
func BenchmarkResolveTenConflicts(b *testing.B) {
	for _, version := range []string{"1", "10", "12"} {
		for _, members := range []int{1_000, 10_000} {
			b.Run(fmt.Sprintf("version=%s/members=%d", version, members), func(b *testing.B) {
				room, common, sets := conflict(b, version, members)
				create := room.events[common[createSlot]]
				lookup := func(key event.StateKey) (ident.EventID, bool) { id, ok := common[key]; return id, ok }
				var res Resolution
				var err error
				b.ReportAllocs()
				for b.Loop() {
					if res, err = ResolveConflicts(room.version, create, lookup, sets, room); err != nil {
						b.Fatal(err)
					}
				}
				if len(res.Trace.Conflicted) != 10 || len(res.State) != 10 {
					b.Fatalf("%d conflicts, %d resolved", len(res.Trace.Conflicted), len(res.State))
				}
				b.StopTimer()
				b.ReportMetric(float64(b.Elapsed())/float64(authorise(b, room, common, sets)), "ratio")
				room.fetched = 0
				if _, err := ResolveConflicts(room.version, create, lookup, sets, room); err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(room.fetched), "events/op")
			})
		}
	}
}

// authorise checks every conflicted event b.N times at the state of its own branch.
func authorise(b *testing.B, room *testRoom, common StateMap, sets []StateMap) time.Duration {
	type judged struct {
		e     *event.Event
		state auth.State
	}
	var all []judged
	for _, set := range sets {
		whole := maps.Clone(common)
		maps.Copy(whole, set)
		var events []*event.Event
		for _, id := range whole {
			events = append(events, room.events[id])
		}
		state := auth.StateOf(events)
		for _, id := range set {
			all = append(all, judged{room.events[id], state})
		}
	}
	start := time.Now()
	for range b.N {
		for _, j := range all {
			if result := auth.Check(j.e, j.state); !result.OK {
				b.Fatal(result)
			}
		}
	}
	return time.Since(start)
}
