// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

const forkOwner ident.UserID = "@owner:a.example"

// forked is a room whose state is in five versions, as five forks leave it.
type forked struct {
	b     *batch
	key   signing.Key
	last  *event.Event
	roots []state.Root
}

// forkRoom makes a room with so many members. Of most of them only the id is known: a resolution that looked at them would fail.
func forkRoom(tb testing.TB, members int) *forked {
	store, err := persistence.Open(tb.Context(), persistence.Options{
		Path: filepath.Join(tb.TempDir(), "store"), ServerName: "a.example", NoSync: true,
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	key, err := signing.NewKey("ed25519:1", make([]byte, ed25519.SeedSize))
	if err != nil {
		tb.Fatal(err)
	}
	f := &forked{b: emptyBatch(&Engine{store: store, cache: newMemory()}), key: key}
	f.b.head.version, _ = event.VersionOf("10")
	common := map[event.StateKey]ident.EventID{}
	create := f.add(tb, common, "m.room.create", "", `{"creator":"@owner:a.example","room_version":"10"}`)
	f.b.head.create = create.ID()
	owner := f.add(tb, common, "m.room.member", string(forkOwner), `{"membership":"join"}`, create)
	levels := f.add(tb, common, "m.room.power_levels", "", `{"users":{"@owner:a.example":100}}`, create, owner)
	for i := range members {
		user := fmt.Sprintf("@m%d:s%d.example", i, i%500)
		common[event.StateKey{Type: "m.room.member", Key: user}] = ident.EventID(fmt.Sprintf("$%043d", i))
	}
	root, nodes := state.Build(common)
	f.keep(tb, nodes)
	for n := range 5 {
		fork := map[event.StateKey]ident.EventID{}
		f.add(tb, fork, "m.room.topic", "", fmt.Sprintf(`{"topic":"%d"}`, n), create, owner, levels)
		f.add(tb, fork, "m.room.name", "", fmt.Sprintf(`{"name":"%d"}`, n), create, owner, levels)
		f.add(tb, fork, "m.room.member", string(forkOwner), fmt.Sprintf(`{"membership":"join","displayname":"%d"}`, n), create, owner, levels)
		f.add(tb, fork, fmt.Sprintf("org.example.%d", n), "", `{}`, create, owner, levels)
		after, nodes, err := state.Set(f.b, root, fork)
		if err != nil {
			tb.Fatal(err)
		}
		f.keep(tb, nodes)
		f.roots = append(f.roots, after)
	}
	return f
}

// emptyBatch is a batch over what an engine has.
func emptyBatch(e *Engine) *batch {
	return &batch{
		e: e, ctx: context.Background(), id: "!forks:a.example", loaded: map[ident.EventID]*record{}, fresh: map[ident.EventID]*record{},
		nodes: map[state.Root]state.Node{}, cites: map[ident.EventID][]ident.EventID{}, resolved: map[[sha256.Size]byte]state.Root{},
	}
}

// add makes a state event of the owner's, known to the engine.
func (f *forked) add(tb testing.TB, to map[event.StateKey]ident.EventID, typ, key, content string, rests ...*event.Event) *event.Event {
	p := event.Proto{
		RoomID: f.b.id, Sender: forkOwner, Type: typ, StateKey: &key, Content: []byte(content), OriginServerTS: 1, Depth: 1,
	}
	if f.last != nil {
		p.PrevEvents, p.Depth, p.OriginServerTS = []event.Ref{f.last.Ref()}, f.last.Depth()+1, f.last.OriginServerTS()+1
	}
	for _, x := range rests {
		p.AuthEvents = append(p.AuthEvents, x.Ref())
	}
	x, err := event.Build(f.b.head.version, p, "a.example", f.key)
	if err != nil {
		tb.Fatal(err)
	}
	f.last = x
	f.b.e.cache.putRecords(&record{nid: 1, event: x, outcome: Accepted})
	to[event.StateKey{Type: typ, Key: key}] = x.ID()
	return x
}

// keep stores nodes. The engine reads them from there, and then has them at hand.
func (f *forked) keep(tb testing.TB, nodes []state.Node) {
	err := f.b.e.store.Update(f.b.ctx, func(tx *persistence.Tx) error {
		for _, n := range nodes {
			if err := tx.AddStateNode(n.Hash[:], n.Data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// resolve resolves the five states in a batch of its own.
func (f *forked) resolve(tb testing.TB) state.Root {
	b := emptyBatch(f.b.e)
	b.head = f.b.head
	root, err := b.resolve(f.roots)
	if err != nil {
		tb.Fatal(err)
	}
	return root
}

// BenchmarkResolveForks resolves five forks of a room, from the roots of their states to the root of the result. The floor is the
// same in a room of 1,000 members: the ratio is to stay near 1.
func BenchmarkResolveForks(b *testing.B) {
	small, large := forkRoom(b, 1_000), forkRoom(b, 50_000)
	for _, f := range []*forked{small, large} {
		if root := f.resolve(b); bytes.Equal(root[:], f.roots[0][:]) && root == f.roots[1] {
			b.Fatal("nothing was resolved")
		}
	}
	const turn = 20
	var spent, floor time.Duration
	for b.Loop() {
		floor += processorTime(b, func() { small.resolve(b) }, turn)
		spent += processorTime(b, func() { large.resolve(b) }, turn)
	}
	b.ReportMetric(float64(spent)/float64(floor), "ratio")
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N)/turn, "cpu-µs/resolution")
	b.ReportMetric(0, "ns/op")
}

// processorTime is what n times the work takes of the processor.
func processorTime(b *testing.B, work func(), n int) time.Duration {
	b.Helper()
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	for range n {
		work()
	}
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
		b.Fatal(err)
	}
	return time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
}
