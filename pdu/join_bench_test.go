// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
)

// heldKeys is the keys of servers, at hand as the real ring has them.
type heldKeys map[ident.ServerName]ed25519.PublicKey

func (h heldKeys) Keys(_ context.Context, queries []keys.Query) map[keys.Query]ed25519.PublicKey {
	found := make(map[keys.Query]ed25519.PublicKey, len(queries))
	for _, q := range queries {
		found[q] = h[q.Server]
	}
	return found
}

// largeRoom is what a resident gives to one who joins a room: its state, which is also all that it rests on, and the join.
type largeRoom struct {
	id    ident.RoomID
	state [][]byte
	join  []byte
	keys  heldKeys
}

// makeLargeRoom makes a room of so many members of a hundred servers.
func makeLargeRoom(b *testing.B, members int) *largeRoom {
	b.Helper()
	v, _ := event.VersionOf("10")
	room := &largeRoom{id: "!large:a.example", keys: heldKeys{}}
	var last *event.Event
	build := func(sender ident.UserID, typ, stateKey, content string, rests ...*event.Event) *event.Event {
		p := event.Proto{
			RoomID: room.id, Sender: sender, Type: typ, StateKey: &stateKey, Content: []byte(content), OriginServerTS: 1_700_000_000_000, Depth: 1,
		}
		if last != nil {
			p.PrevEvents, p.Depth, p.OriginServerTS = []event.Ref{last.Ref()}, last.Depth()+1, last.OriginServerTS()+1000
		}
		for _, x := range rests {
			p.AuthEvents = append(p.AuthEvents, x.Ref())
		}
		key := keyOf(sender.Server())
		room.keys[sender.Server()] = key.Public()
		x, err := event.Build(v, p, sender.Server(), key)
		if err != nil {
			b.Fatal(err)
		}
		last = x
		room.state = append(room.state, x.JSON())
		return x
	}
	create := build(alice, "m.room.create", "", `{"creator":"@alice:a.example","room_version":"10"}`)
	owner := build(alice, "m.room.member", string(alice), `{"membership":"join"}`, create)
	levels := build(alice, "m.room.power_levels", "", `{"users":{"@alice:a.example":100}}`, create, owner)
	rules := build(alice, "m.room.join_rules", "", `{"join_rule":"public"}`, create, owner, levels)
	build(alice, "m.room.name", "", `{"name":"Large"}`, create, owner, levels)
	for i := range members - 1 {
		user := ident.UserID(fmt.Sprintf("@user%d:server%d.example", i, i%100))
		build(user, "m.room.member", string(user), fmt.Sprintf(`{"displayname":"User %d","membership":"join"}`, i), create, levels, rules)
	}
	room.join = build(bob, "m.room.member", string(bob), `{"membership":"join"}`, create, levels, rules).JSON()
	room.state = room.state[:len(room.state)-1]
	return room
}

// BenchmarkJoin joins a room of 10,000 members, from the bytes of its state to the durable room, keys being at hand. The floor is to
// verify the signature of each event alone, with the standard library.
func BenchmarkJoin(b *testing.B) {
	const members = 10_000
	room := makeLargeRoom(b, members)
	v, _ := event.VersionOf("10")
	key := keyOf("a.example")
	signature := ed25519.Sign(key.Private, room.state[0])
	var spent, floor time.Duration
	for b.Loop() {
		begun := cpuTime(b)
		for _, wire := range room.state {
			ed25519.Verify(key.Public(), wire, signature)
		}
		floor += cpuTime(b) - begun
		engine := joiner(b, room.keys)
		begun = cpuTime(b)
		state := make([]*event.Event, len(room.state))
		for i, wire := range room.state {
			state[i] = parseWire(b, v, wire)
		}
		if err := engine.AdoptRoom(context.Background(), "10", parseWire(b, v, room.join), state, nil, "a.example"); err != nil {
			b.Fatal(err)
		}
		spent += cpuTime(b) - begun
		info, err := engine.Room(context.Background(), room.id)
		if err != nil || info.Servers != 2+min(100, members-1) {
			b.Fatalf("joined a room of %d servers: %v", info.Servers, err)
		}
	}
	b.ReportMetric(float64(spent)/float64(floor), "ratio")
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N)/members, "cpu-µs/member")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkAdmission answers a join to a room of 10,000 members that has a name, for one who wants no members (M-10). The floor is the
// answer with them. Both come after a start, with nothing in the memory.
func BenchmarkAdmission(b *testing.B) {
	const members = 10_000
	room := makeLargeRoom(b, members)
	v, _ := event.VersionOf("10")
	room.keys["c.example"] = keyOf("c.example").Public()
	store := emptyStore(b)
	engine := started(b, room.keys, store)
	state := make([]*event.Event, len(room.state))
	for i, wire := range room.state {
		state[i] = parseWire(b, v, wire)
	}
	if err := engine.AdoptRoom(b.Context(), "10", parseWire(b, v, room.join), state, nil, "a.example"); err != nil {
		b.Fatal(err)
	}
	template, _, err := engine.Template(b.Context(), room.id, member(carol, carol, "join"))
	if err != nil {
		b.Fatal(err)
	}
	p, err := event.FromTemplate(v, template)
	if err != nil {
		b.Fatal(err)
	}
	join, err := event.Build(v, p, "c.example", keyOf("c.example"))
	if err != nil {
		b.Fatal(err)
	}
	answer := func(omit bool) (time.Duration, int) {
		engine := started(b, room.keys, store)
		begun := cpuTime(b)
		h := pdu.Handover{Room: room.id, EventID: join.ID(), Membership: "join", OmitMembers: omit}
		admission, err := engine.AcceptMembership(b.Context(), "c.example", h, join.JSON())
		if err != nil {
			b.Fatal(err)
		}
		return cpuTime(b) - begun, len(admission.StateBefore)
	}
	answer(false)
	var spent, floor time.Duration
	for b.Loop() {
		whole, all := answer(false)
		partial, few := answer(true)
		if all != members+5 || few != 4 {
			b.Fatalf("%d and %d events of state", all, few)
		}
		spent, floor = spent+partial, floor+whole
	}
	b.ReportMetric(float64(spent)/float64(floor), "ratio")
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N), "cpu-µs/answer")
	b.ReportMetric(0, "ns/op")
}

func parseWire(b *testing.B, v *event.Version, wire []byte) *event.Event {
	b.Helper()
	x, err := event.Parse(v, wire)
	if err != nil {
		b.Fatal(err)
	}
	return x
}

// joiner is the engine of b.example, with an empty store.
func joiner(b *testing.B, held heldKeys) *pdu.Engine {
	b.Helper()
	return started(b, held, emptyStore(b))
}

func emptyStore(b *testing.B) *persistence.Store {
	b.Helper()
	store, err := persistence.Open(b.Context(), persistence.Options{
		Path: filepath.Join(b.TempDir(), "store"), ServerName: "b.example",
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	return store
}

// started is an engine of b.example with nothing in its memory.
func started(b *testing.B, held heldKeys, store *persistence.Store) *pdu.Engine {
	b.Helper()
	engine, err := pdu.NewEngine(pdu.EngineConfig{
		Self: "b.example", Key: keyOf("b.example"), Store: store, Keys: noNotary{held}, Client: noNetwork{}, Outbox: noOutbox{},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = engine.Run(ctx)
	}()
	b.Cleanup(func() {
		cancel()
		<-ended
	})
	return engine
}
