// SPDX-License-Identifier: Apache-2.0

package state

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// model is what a tree stands for.
type model = map[event.StateKey]ident.EventID

// memory keeps nodes and counts reads.
type memory struct {
	nodes map[Root][]byte
	reads int
}

var errMissing = errors.New("no such node")

func newMemory() *memory { return &memory{nodes: make(map[Root][]byte)} }

func (m *memory) Node(hash Root) (Node, error) {
	m.reads++
	data, ok := m.nodes[hash]
	if !ok {
		return Node{}, errMissing
	}
	return ReadNode(hash, data)
}

func (m *memory) keep(nodes []Node) {
	for _, n := range nodes {
		m.nodes[n.Hash] = n.Data
	}
}

func (m *memory) set(t rapid.TB, r Root, changes model) Root {
	t.Helper()
	next, nodes, err := Set(m, r, changes)
	if err != nil {
		t.Fatal(err)
	}
	m.keep(nodes)
	return next
}

// apply is the model's Set.
func apply(m, changes model) model {
	next := maps.Clone(m)
	for key, id := range changes {
		if id == "" {
			delete(next, key)
		} else {
			next[key] = id
		}
	}
	return next
}

func member(i int) event.StateKey {
	return event.StateKey{Type: "m.room.member", Key: fmt.Sprintf("@user%d:example.org", i)}
}

func eventID(i int) ident.EventID { return ident.EventID(fmt.Sprintf("$%043d", i)) }

// room returns the state of a room with so many members.
func room(members int) model {
	m := model{}
	for i, typ := range []string{"create", "power_levels", "join_rules", "history_visibility", "name", "topic", "avatar"} {
		m[event.StateKey{Type: "m.room." + typ}] = eventID(i)
	}
	for i := range members {
		m[member(i)] = eventID(100 + i)
	}
	return m
}

var (
	drawKey = rapid.Custom(func(t *rapid.T) event.StateKey {
		typ := rapid.SampledFrom([]string{"m.room.member", "m.room.name", "a", "ab", ""}).Draw(t, "type")
		return event.StateKey{Type: typ, Key: fmt.Sprint(rapid.IntRange(0, 60).Draw(t, "key"))}
	})
	drawID = rapid.Custom(func(t *rapid.T) ident.EventID {
		return ident.EventID(rapid.SampledFrom([]string{"", "$1", "$2", "$3"}).Draw(t, "id"))
	})
	drawChanges = rapid.MapOfN(drawKey, drawID, 0, 40)
)

// A tree is its model: after any changes it holds the same slots, has the same root as a tree built in one go, and Set has
// returned no node that the new tree does not use.
func TestTreeIsItsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem, root, want := newMemory(), Root{}, model{}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			changes := drawChanges.Draw(t, "changes")
			next, nodes, err := Set(mem, root, changes)
			if err != nil {
				t.Fatal(err)
			}
			if next == root && len(nodes) != 0 {
				t.Fatalf("nothing changed, but %d nodes were written", len(nodes))
			}
			mem.keep(nodes)
			root, want = next, apply(want, changes)

			built, all := Build(want)
			if built != root {
				t.Fatalf("root after changes %x, root of the same content %x", root, built)
			}
			used := map[Root]bool{}
			for _, n := range all {
				used[n.Hash] = true
			}
			for _, n := range nodes {
				if !used[n.Hash] {
					t.Fatalf("node %x was written but is not in the tree", n.Hash)
				}
			}
		}
		got, err := All(mem, root)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		if n, err := Len(mem, root); err != nil || n != len(want) {
			t.Fatalf("Len = %d, %v, want %d", n, err, len(want))
		}
		key := drawKey.Draw(t, "lookup")
		id, ok, err := Get(mem, root, key)
		if wantID, wantOK := want[key]; err != nil || ok != wantOK || id != wantID {
			t.Fatalf("Get(%v) = %q, %v, %v, want %q", key, id, ok, err, wantID)
		}
	})
}

func TestRootDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		content := apply(model{}, drawChanges.Draw(t, "content"))
		keys := make([]event.StateKey, 0, len(content))
		for key := range content {
			keys = append(keys, key)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		var roots [2]Root
		for i := range roots {
			rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
			mem := newMemory()
			for _, key := range keys {
				roots[i] = mem.set(t, roots[i], model{key: "$detour"})
				roots[i] = mem.set(t, roots[i], model{key: content[key], {Type: "passing", Key: key.Key}: "$x"})
			}
			for _, key := range keys {
				roots[i] = mem.set(t, roots[i], model{{Type: "passing", Key: key.Key}: ""})
			}
		}
		if roots[0] != roots[1] {
			t.Fatalf("%x in one order, %x in another", roots[0], roots[1])
		}
	})
}

func TestDiffIsTheDifferenceOfTheModels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := newMemory()
		a := apply(model{}, drawChanges.Draw(t, "a"))
		b := apply(a, drawChanges.Draw(t, "b"))
		if rapid.Bool().Draw(t, "unrelated") {
			b = apply(model{}, drawChanges.Draw(t, "c"))
		}
		want := map[event.StateKey]Change{}
		for key := range apply(a, b) {
			if a[key] != b[key] {
				want[key] = Change{key, a[key], b[key]}
			}
		}
		got, err := Diff(mem, mem.set(t, Root{}, a), mem.set(t, Root{}, b))
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range got {
			if i > 0 && compareKeys(got[i-1].Key, c.Key) >= 0 {
				t.Fatalf("%v is listed before %v", got[i-1].Key, c.Key)
			}
			if want[c.Key] != c {
				t.Fatalf("got %v, want %v", c, want[c.Key])
			}
		}
		if len(got) != len(want) {
			t.Fatalf("got %d changes, want %d", len(got), len(want))
		}
	})
}

func TestScanType(t *testing.T) {
	mem := newMemory()
	for _, members := range []int{0, 1, 5, 300} {
		root := mem.set(t, Root{}, room(members))
		got := map[string]ident.EventID{}
		visit := func(key string, id ident.EventID) bool { got[key] = id; return true }
		if err := ScanType(mem, root, "m.room.member", visit); err != nil {
			t.Fatal(err)
		}
		want := map[string]ident.EventID{}
		for i := range members {
			want[member(i).Key] = eventID(100 + i)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	root, seen := mem.set(t, Root{}, room(300)), 0
	firstThree := func(string, ident.EventID) bool { seen++; return seen < 3 }
	if err := ScanType(mem, root, "m.room.member", firstThree); err != nil || seen != 3 {
		t.Errorf("stopped after %d, %v, want 3", seen, err)
	}
	mem.reads = 0
	if err := ScanType(mem, root, "m.room.topic", func(string, ident.EventID) bool { return true }); err != nil || mem.reads > 3 {
		t.Errorf("reading the topic of a room of 300 took %d nodes, %v", mem.reads, err)
	}
}

// In a room of 10,000 members one change writes, and one diff reads, a handful of nodes; the rest is shared.
func TestCostIsThatOfTheChange(t *testing.T) {
	mem := newMemory()
	old := mem.set(t, Root{}, room(10_000))
	// Branches that divide the types (at most 2 for so few), the branch of the members, log16(10,000 / leafSize) rounded up
	// below it, a leaf, and one for the luck of the hash.
	const levels = 2 + 1 + 3 + 1 + 1
	for i := range 50 {
		root, nodes, err := Set(mem, old, model{member(i * 7): "$changed"})
		if err != nil {
			t.Fatal(err)
		}
		if len(nodes) > levels {
			t.Errorf("one change wrote %d nodes, want at most %d", len(nodes), levels)
		}
		mem.keep(nodes)
		mem.reads = 0
		changes, err := Diff(mem, old, root)
		if err != nil || len(changes) != 1 {
			t.Fatalf("Diff = %v, %v", changes, err)
		}
		if mem.reads > 2*levels {
			t.Errorf("a diff of one slot read %d nodes, want at most %d", mem.reads, 2*levels)
		}
	}
}
