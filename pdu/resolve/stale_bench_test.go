// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// stale is a room in which the power levels have changed so often, each change on the one before it, while a branch stood still at
// the change in the middle: half of all changes are in the auth difference.
func stale(tb testing.TB, changes int) (room *testRoom, common StateMap, sets []StateMap) {
	s := &script{tb: tb}
	s.begin("10")
	s.event([]string{"create", "alice", "create"})
	s.event([]string{"alice", "alice", "member", "alice", "join"})
	s.event([]string{"power", "alice", "power_levels", ".state_default:0", "alice:100"})
	room, common = s.room, maps.Clone(s.after["power"])
	delete(common, powerSlot)
	sets = []StateMap{{}, {}}
	last := s.id("power")
	for i := range changes {
		p := plainEvent{
			ID: s.id(fmt.Sprintf("levels%d", i)), Type: powerSlot.Type, Sender: user("alice"), Room: s.roomID,
			Content: map[string]any{"users": map[string]any{user("alice"): 100}, "state_default": 0, "ban": i % 50},
			Depth:   int64(len(room.plain) + 1), TS: int64(len(room.plain)),
			Prev: []ident.EventID{last}, Auth: []ident.EventID{s.id("create"), last, s.id("alice")},
		}
		room.add(tb, p)
		last = p.ID
		sets[1][powerSlot] = last
		if i == changes/2 {
			sets[0][powerSlot] = last
		}
	}
	return room, common, sets
}

// An auth difference of n events costs n times what one costs: the floor is that of a tenth of the changes, ten times.
func BenchmarkStaleBranch(b *testing.B) {
	resolveStale := func(changes int) time.Duration {
		room, common, sets := stale(b, changes)
		lookup := func(key event.StateKey) (ident.EventID, bool) { id, ok := common[key]; return id, ok }
		begun := time.Now()
		res, err := ResolveConflicts(room.version, room.events[common[createSlot]], lookup, sets, room)
		if err != nil || len(res.Trace.AuthDifference) < changes/2-2 {
			b.Fatal(len(res.Trace.AuthDifference), err)
		}
		return time.Since(begun)
	}
	for range b.N {
		small, large := resolveStale(1_000), resolveStale(10_000)
		b.ReportMetric(float64(large)/float64(10*small), "ratio")
		b.ReportMetric(float64(large.Milliseconds()), "ms/10000")
	}
}
