// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"errors"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

type idSet = map[ident.EventID]bool

// chain is "the set containing all of E's auth events, all of their auth events, and so on" for every E in ids.
func (r *testRoom) chain(ids ...ident.EventID) idSet {
	found := idSet{}
	for _, id := range ids {
		for _, a := range r.events[id].AuthEvents() {
			if !found[a] {
				maps.Copy(found, r.chain(a))
				found[a] = true
			}
		}
	}
	return found
}

// The sets in the trace are those that the definitions of rooms/v2 and rooms/v12 give when they are worked out word for word
// on whole states and whole auth chains.
func TestTraceFollowsTheDefinitions(t *testing.T) {
	for _, version := range []string{"2", "10", "12"} {
		subgraphs := 0
		for seed := range seeds(150) {
			room := randomRoom(t, newRand(seed), version)
			var chains []idSet
			conflicted, union := idSet{}, idSet{}
			for _, set := range room.sets {
				chain := room.chain(slices.Collect(maps.Values(set))...)
				for _, id := range set { // a state is part of its own chain: see the package comment
					chain[id] = true
				}
				chains = append(chains, chain)
				maps.Copy(union, chain)
				for key, id := range set {
					if slices.ContainsFunc(room.sets, func(other StateMap) bool { return other[key] != id }) {
						conflicted[id] = true
					}
				}
			}
			var difference, subgraph []ident.EventID
			for id := range union {
				if !conflicted[id] && slices.ContainsFunc(chains, func(c idSet) bool { return !c[id] }) {
					difference = append(difference, id)
				}
			}
			if len(conflicted) == 0 {
				difference = nil
			}
			for id := range room.chain(slices.Collect(maps.Keys(conflicted))...) {
				leads := room.chain(id)
				maps.DeleteFunc(leads, func(c ident.EventID, _ bool) bool { return !conflicted[c] })
				if version == "12" && !conflicted[id] && len(leads) > 0 {
					subgraph = append(subgraph, id)
				}
			}
			slices.Sort(difference)
			slices.Sort(subgraph)
			subgraphs += len(subgraph)
			trace := resolveBothWays(t, room).Trace
			if diff := cmp.Diff(difference, trace.AuthDifference); diff != "" {
				t.Fatalf("version %s, seed %d, auth difference:\n%s", version, seed, diff)
			}
			if diff := cmp.Diff(subgraph, trace.Subgraph); diff != "" {
				t.Fatalf("version %s, seed %d, subgraph:\n%s", version, seed, diff)
			}
			checkPowerOrder(t, room, trace.PowerOrder)
		}
		if version == "12" && subgraphs == 0 {
			t.Error("no room had a subgraph to speak of")
		}
	}
}

// checkPowerOrder: no event comes before one of its auth events.
func checkPowerOrder(t *testing.T, room forkedRoom, order []ident.EventID) {
	t.Helper()
	place := map[ident.EventID]int{}
	for i, id := range order {
		place[id] = i + 1
	}
	for i, id := range order {
		for _, a := range room.events[id].AuthEvents() {
			if place[a] > i+1 {
				t.Fatalf("%s comes before its auth event %s", id, a)
			}
		}
	}
}

// Every event that src does not know is an error that names it, or was not needed; nothing panics.
func TestMissingEventsAreNamed(t *testing.T) {
	for _, version := range judgedVersions {
		room := randomRoom(t, newRand(7), version)
		named := 0
		for id, e := range room.events {
			delete(room.events, id)
			_, err := Resolve(room.version, room.sets, room)
			if err != nil && !strings.Contains(err.Error(), string(id)) {
				t.Errorf("version %s, without %s: %v", version, id, err)
			}
			if err != nil {
				named++
			}
			room.events[id] = e
		}
		if named == 0 {
			t.Errorf("version %s: no event was missed", version)
		}
	}
}

// In room versions 1 and 2 senders choose event ids, so auth events can form a loop.
func TestLoopsOfAuthEventsEnd(t *testing.T) {
	room := newTestRoom(t, "2")
	add := func(id, typ, key string, content map[string]any, authEvents ...ident.EventID) {
		p := plainEvent{ID: ident.EventID(id), Type: typ, Key: key, Sender: "@a:a.org", Content: content}
		p.Room, p.Auth = "!r:a.org", authEvents
		room.add(t, p)
	}
	add("$c:a.org", "m.room.create", "", map[string]any{"creator": "@a:a.org"})
	add("$p:a.org", "m.room.power_levels", "", map[string]any{}, "$c:a.org", "$q:a.org")
	add("$q:a.org", "m.room.power_levels", "", map[string]any{}, "$c:a.org", "$p:a.org")
	add("$t:a.org", "m.room.topic", "", map[string]any{}, "$c:a.org", "$q:a.org")
	for _, sets := range [][]StateMap{
		{room.stateOf([]ident.EventID{"$c:a.org", "$p:a.org"}), room.stateOf([]ident.EventID{"$c:a.org", "$q:a.org"})},
		{room.stateOf([]ident.EventID{"$c:a.org", "$p:a.org", "$t:a.org"}), room.stateOf([]ident.EventID{"$c:a.org", "$p:a.org"})},
	} {
		if _, err := Resolve(room.version, sets, room); err == nil || !strings.Contains(err.Error(), "$p:a.org") {
			t.Errorf("got error %v, want one that names $p:a.org", err)
		}
	}
}

func TestEventOfAnotherRoomIsAnError(t *testing.T) {
	room := newTestRoom(t, "10")
	add := func(id, roomID, typ string) {
		content := map[string]any{"creator": "@a:a.org"}
		room.add(t, plainEvent{ID: ident.EventID(id), Type: typ, Sender: "@a:a.org", Content: content, Room: roomID})
	}
	const (
		create = "$create-------------------------------------"
		here   = "$here---------------------------------------"
		there  = "$there--------------------------------------"
	)
	add(create, "!r:a.org", "m.room.create")
	add(here, "!r:a.org", "m.room.topic")
	add(there, "!other:a.org", "m.room.topic")
	sets := []StateMap{room.stateOf([]ident.EventID{create, here}), room.stateOf([]ident.EventID{create, there})}
	if _, err := Resolve(room.version, sets, room); err == nil || !strings.Contains(err.Error(), there) {
		t.Errorf("got error %v, want one that names %s", err, there)
	}
}

// brokenCiting fails to say what cites an event.
type brokenCiting struct{ *testRoom }

var errBroken = errors.New("broken index")

func (brokenCiting) Citing(ident.EventID) iter.Seq2[ident.EventID, error] {
	return func(yield func(ident.EventID, error) bool) { yield("", errBroken) }
}

func TestErrorOfCitingIsReturned(t *testing.T) {
	for seed := range seeds(20) {
		room := randomRoom(t, newRand(seed), "10")
		if res := resolveBothWays(t, room); len(res.Trace.AuthDifference) == 0 {
			continue
		}
		if _, err := Resolve(room.version, room.sets, brokenCiting{room.testRoom}); !errors.Is(err, errBroken) {
			t.Errorf("seed %d: got %v, want %v", seed, err, errBroken)
		}
	}
}

func TestNothingToResolve(t *testing.T) {
	for _, version := range event.Versions() {
		room := randomRoom(t, newRand(1), version)
		for _, sets := range [][]StateMap{nil, {room.sets[0]}, {room.sets[0], room.sets[0], room.sets[0]}} {
			want := StateMap{}
			if len(sets) > 0 {
				want = sets[0]
			}
			res, err := Resolve(room.version, sets, room)
			if err != nil || !maps.Equal(res.State, want) || len(res.Trace.Checks) != 0 {
				t.Errorf("version %s, %d equal sets: %v, checks %v", version, len(sets), err, res.Trace.Checks)
			}
		}
	}
}

// Resolving prints nothing.
func TestNothingIsPrinted(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = write
	_, resolveErr := Resolve(newTestRoom(t, "10").version, nil, newTestRoom(t, "10"))
	for _, version := range judgedVersions {
		resolveBothWays(t, randomRoom(t, newRand(3), version))
	}
	os.Stdout = stdout
	write.Close()
	printed, err := io.ReadAll(read)
	if err := errors.Join(err, resolveErr); err != nil || len(printed) != 0 {
		t.Errorf("printed %q, %v", printed, err)
	}
}
