// SPDX-License-Identifier: Apache-2.0

package state

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"maps"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// operations runs everything that reads a tree and returns the errors.
func operations(mem *memory, r, other Root) map[string]error {
	_, _, getErr := Get(mem, r, member(1))
	_, _, setErr := Set(mem, r, model{member(1): "$new", member(2): ""})
	_, diffErr := Diff(mem, r, other)
	_, allErr := All(mem, r)
	_, lenErr := Len(mem, r)
	scanErr := ScanType(mem, r, "m.room.member", func(string, ident.EventID) bool { return true })
	return map[string]error{"Get": getErr, "Set": setErr, "Diff": diffErr, "All": allErr, "Len": lenErr, "ScanType": scanErr}
}

func TestDamagedRootIsAnError(t *testing.T) {
	mem := newMemory()
	root := mem.set(t, Root{}, room(100))
	other := mem.set(t, root, model{member(3): "$other"})

	damaged := bytes.Clone(mem.nodes[root])
	damaged[len(damaged)-1] ^= 1
	for _, tt := range []struct {
		name string
		data []byte
		want error
	}{
		{"missing", nil, errMissing},
		{"one bit", damaged, ErrCorrupt},
		{"empty", []byte{}, ErrCorrupt},
	} {
		broken := &memory{nodes: maps.Clone(mem.nodes)}
		if broken.nodes[root] = tt.data; tt.data == nil {
			delete(broken.nodes, root)
		}
		for name, err := range operations(broken, root, other) {
			if !errors.Is(err, tt.want) {
				t.Errorf("%s: %s: got %v, want %v", tt.name, name, err, tt.want)
			}
		}
	}
}

// Whatever node is missing, All notices, and nothing panics.
func TestAnyMissingNodeIsAnError(t *testing.T) {
	mem := newMemory()
	root := mem.set(t, Root{}, room(200))
	for hash := range mem.nodes {
		broken := &memory{nodes: maps.Clone(mem.nodes)}
		delete(broken.nodes, hash)
		if err := operations(broken, root, Root{})["All"]; !errors.Is(err, errMissing) {
			t.Fatalf("without %x: %v", hash, err)
		}
	}
}

// A branch that points to a branch of another place, with right hashes throughout, is refused: reading always ends.
func TestMisplacedBranchIsAnError(t *testing.T) {
	mem := newMemory()
	inner := mem.set(t, Root{}, room(100))
	outer := node{depth: 5, count: 200}
	outer.children[1], outer.children[2] = inner, inner
	data := outer.encode()
	root := Root(sha256.Sum256(data))
	mem.nodes[root] = data
	for _, name := range []string{"All", "Diff"} {
		if err := operations(mem, root, Root{})[name]; !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: got %v, want %v", name, err, ErrCorrupt)
		}
	}
}

// A branch that has more slots than it says, with right hashes throughout, is noticed before a leaf is made of it.
func TestMiscountedBranchIsAnError(t *testing.T) {
	mem := newMemory()
	n, err := decode(mem.nodes[mem.set(t, Root{}, room(100))])
	if err != nil {
		t.Fatal(err)
	}
	n.count = leafSize + 1
	data := n.encode()
	root := Root(sha256.Sum256(data))
	mem.nodes[root] = data
	if _, _, err := Set(mem, root, model{member(1): ""}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want %v", err, ErrCorrupt)
	}
}

// Nodes are decoded strictly: what is accepted encodes to the same bytes, and reading a tree topped by it never panics.
func FuzzDecode(f *testing.F) {
	mem := newMemory()
	mem.set(f, Root{}, room(40))
	for _, data := range mem.nodes {
		f.Add(data)
	}
	f.Add([]byte{kindBranch, 63})
	f.Add([]byte{kindLeaf, 0x80, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := decode(data)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error without ErrCorrupt: %v", err)
			}
			return
		}
		if got := n.encode(); !bytes.Equal(got, data) {
			t.Fatalf("decoded %x, encoded %x", data, got)
		}
		root := Root(sha256.Sum256(data))
		operations(&memory{nodes: map[Root][]byte{root: data}}, root, Root{1})
	})
}

func TestEmptyStateNeedsNoNode(t *testing.T) {
	mem := newMemory()
	if _, ok, err := Get(mem, Root{}, event.StateKey{Type: "m.room.create"}); ok || err != nil {
		t.Errorf("Get = %v, %v", ok, err)
	}
	root := mem.set(t, Root{}, room(30))
	empty := model{}
	for key := range room(30) {
		empty[key] = ""
	}
	if got := mem.set(t, root, empty); got != (Root{}) {
		t.Errorf("root of the emptied state is %x", got)
	}
}
