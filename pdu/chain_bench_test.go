// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// bigRoom is the state and auth chain of a room of a.example with so many members who have changed their names once, and bob's join.
func bigRoom(b *testing.B, members int) (state, chain []*event.Event, join *event.Event) {
	b.Helper()
	v, _ := event.VersionOf("10")
	depth := int64(0)
	build := func(sender ident.UserID, typ, stateKey, content string, auth ...*event.Event) *event.Event {
		depth++
		p := event.Proto{RoomID: "!big:a.example", Sender: sender, Type: typ, StateKey: &stateKey, Content: []byte(content), Depth: depth, OriginServerTS: depth}
		for _, x := range auth {
			p.AuthEvents = append(p.AuthEvents, x.Ref())
		}
		if len(auth) > 0 {
			p.PrevEvents = []event.Ref{auth[len(auth)-1].Ref()}
		}
		x, err := event.Build(v, p, sender.Server(), keyOf(sender.Server()))
		if err != nil {
			b.Fatal(err)
		}
		return x
	}
	create := build(alice, "m.room.create", "", `{"creator":"@alice:a.example","room_version":"10"}`)
	founder := build(alice, "m.room.member", string(alice), `{"membership":"join"}`, create)
	levels := build(alice, "m.room.power_levels", "", `{"users":{"@alice:a.example":100}}`, create, founder)
	rules := build(alice, "m.room.join_rules", "", `{"join_rule":"public"}`, create, levels, founder)
	state = []*event.Event{create, founder, levels, rules}
	chain = []*event.Event{create, founder, levels, rules}
	for i := range members {
		user := fmt.Sprintf("@user%d:a.example", i)
		first := build(ident.UserID(user), "m.room.member", user, `{"membership":"join"}`, create, levels, rules)
		named := build(ident.UserID(user), "m.room.member", user, `{"displayname":"somebody","membership":"join"}`, create, levels, rules, first)
		state, chain = append(state, named), append(chain, first)
	}
	return state, chain, build(bob, "m.room.member", string(bob), `{"membership":"join"}`, create, levels, rules)
}

// BenchmarkStateIDs answers /state_ids in a room of 10,000 members whose auth chain is as long again, through the engine's route. The
// floor is to read the ids of the state alone. "cold": the engine has just started. "next": another state of the room was asked
// for before. "again": this state was.
func BenchmarkStateIDs(b *testing.B) {
	const room = "!big:a.example"
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store, err := persistence.Open(ctx, persistence.Options{Path: filepath.Join(b.TempDir(), "store"), ServerName: "b.example", NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	start := func() *pdu.Engine {
		engine, err := pdu.NewEngine(pdu.EngineConfig{
			Self: "b.example", Key: keyOf("b.example"), Store: store, Keys: noNotary{allKeys{}}, Client: noNetwork{}, Outbox: noOutbox{},
		})
		if err != nil {
			b.Fatal(err)
		}
		return engine
	}
	engine := start()
	state, chain, join := bigRoom(b, 10_000)
	if err := engine.BeginJoin(ctx, room, "10"); err != nil {
		b.Fatal(err)
	}
	if err := engine.AdoptRoom(ctx, "10", join, state, chain, "a.example"); err != nil {
		b.Fatal(err)
	}
	send := func() ident.EventID {
		x, err := engine.Send(ctx, room, member(bob, bob, "join")) // each stands on the state that the one before it has made
		if err != nil {
			b.Fatal(err)
		}
		return x.ID()
	}
	ask := func(engine *pdu.Engine, id ident.EventID) {
		reply, err := serve(ctx, engine, "state_ids", map[string]string{"roomID": room}, "event_id", string(id))
		if got := strings.Count(string(reply.Body), `"$`); err != nil || got < 20_000 {
			b.Fatalf("%d ids: %v", got, err)
		}
	}
	// measure runs ask b.N times and reports its CPU time as a ratio to the floor. before runs before each, unmeasured.
	measure := func(b *testing.B, before func() (*pdu.Engine, ident.EventID)) {
		var spent, floor time.Duration
		for range b.N {
			engine, id := before()
			begun := cpuTime(b)
			ask(engine, id)
			between := cpuTime(b)
			if _, err := engine.StateIDsAt(ctx, id); err != nil {
				b.Fatal(err)
			}
			spent, floor = spent+between-begun, floor+cpuTime(b)-between
		}
		b.ReportMetric(float64(spent)/float64(floor), "ratio")
		b.ReportMetric(float64(spent.Microseconds())/float64(b.N)/1000, "cpu-ms/op")
		b.ReportMetric(0, "ns/op")
	}
	last := send()
	b.Run("cold", func(b *testing.B) {
		measure(b, func() (*pdu.Engine, ident.EventID) { return start(), last })
	})
	b.Run("next", func(b *testing.B) {
		ask(engine, last)
		measure(b, func() (*pdu.Engine, ident.EventID) {
			last = send()
			return engine, last
		})
	})
	b.Run("again", func(b *testing.B) {
		ask(engine, last)
		measure(b, func() (*pdu.Engine, ident.EventID) { return engine, last })
	})
}

// serve runs the handler of a route.
func serve(ctx context.Context, engine *pdu.Engine, name string, params map[string]string, query ...string) (transport.Reply, error) {
	r := &transport.Request{Origin: "a.example", Method: http.MethodGet, Params: params, Query: map[string][]string{}}
	for i := 0; i < len(query); i += 2 {
		r.Query.Set(query[i], query[i+1])
	}
	for _, route := range engine.Routes() {
		if strings.Contains(route.Pattern, "/"+name+"/") {
			return route.Handle(ctx, r)
		}
	}
	return transport.Reply{}, fmt.Errorf("no route for %s", name)
}
