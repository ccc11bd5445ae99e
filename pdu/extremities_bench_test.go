// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// forkedRoom is a room on an engine of its own, to which a benchmark hands events.
type forkedRoom struct {
	b        *testing.B
	engine   *pdu.Engine
	room     ident.RoomID
	auth     []*event.Event
	accepted int
}

func newForkedRoom(b *testing.B) *forkedRoom {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	store, err := persistence.Open(ctx, persistence.Options{Path: filepath.Join(b.TempDir(), "store"), ServerName: "a.example", NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	engine, err := pdu.NewEngine(pdu.EngineConfig{
		Self: "a.example", Key: keyOf("a.example"), Store: store, Keys: noNotary{oneKey{keyOf("a.example").Public()}}, Client: noNetwork{}, Outbox: noOutbox{},
	})
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = engine.Run(ctx)
	}()
	b.Cleanup(func() {
		cancel()
		<-done
		_ = store.Close()
	})
	r := &forkedRoom{b: b, engine: engine}
	room, ids, err := engine.CreateRoom(ctx, "10", alice, []byte(`{}`), []pdu.Draft{
		member(alice, alice, "join"), stateDraft(alice, "m.room.power_levels", `{"users":{"@alice:a.example":100}}`),
	})
	if err != nil {
		b.Fatal(err)
	}
	r.room, r.accepted = room, len(ids)
	for _, id := range ids {
		stored, err := engine.Event(ctx, id)
		if err != nil {
			b.Fatal(err)
		}
		r.auth = append(r.auth, stored.Event)
	}
	return r
}

// build makes a message, or an event that sets a slot, on one parent.
func (r *forkedRoom) build(parent *event.Event, slot string, n int) *event.Event {
	p := event.Proto{
		RoomID: r.room, Sender: alice, Type: "m.room.message", Content: fmt.Appendf(nil, `{"body":"%d"}`, n),
		PrevEvents: []event.Ref{parent.Ref()}, Depth: parent.Depth() + 1, OriginServerTS: time.Now().UnixMilli(),
		AuthEvents: []event.Ref{r.auth[0].Ref(), r.auth[1].Ref(), r.auth[2].Ref()},
	}
	if slot != "" {
		p.Type, p.StateKey = "x.state", &slot
	}
	e, err := event.Build(parent.Version(), p, "a.example", keyOf("a.example"))
	if err != nil {
		r.b.Fatal(err)
	}
	return e
}

// take hands events in, 50 at a time, and gives the CPU time until all are accepted.
func (r *forkedRoom) take(events []*event.Event) time.Duration {
	ctx := context.Background()
	begun := cpuTime(r.b)
	news := r.engine.News()
	for len(events) > 0 {
		var wire [][]byte
		for _, e := range events[:min(50, len(events))] {
			wire = append(wire, e.JSON())
		}
		events = events[len(wire):]
		r.accepted += len(wire)
		staged, err := r.engine.ReceivePDUs(ctx, transaction.Inbound{Origin: "b.example", PDUs: wire})
		if err != nil {
			r.b.Fatal(err)
		}
		if err := staged.Keep(ctx, func(*persistence.Tx) error { return nil }); err != nil {
			r.b.Fatal(err)
		}
	}
	for engineBehind(r.b, r.engine, r.accepted) {
		<-news
		news = r.engine.News()
	}
	return cpuTime(r.b) - begun
}

func (r *forkedRoom) chain(parent *event.Event, slot string, length int) (events []*event.Event) {
	for i := range length {
		parent = r.build(parent, slot, i)
		events = append(events, parent)
	}
	return events
}

// BenchmarkExtremities is the cost of an event that follows one of so many extremities, each with a state of its own, as a ratio
// to that in a room with one: of messages, after which the states to resolve are the same, and of state events, after which they
// are not.
func BenchmarkExtremities(b *testing.B) {
	const length = 200
	for _, slot := range []string{"", "x"} {
		kind := map[string]string{"": "messages", "x": "state"}[slot]
		for _, count := range []int{20, 100, 256} {
			b.Run(fmt.Sprintf("%s/%d", kind, count), func(b *testing.B) {
				var floor, spent time.Duration
				for range b.N {
					single := newForkedRoom(b)
					floor += single.take(single.chain(single.auth[2], slot, length))
					forked := newForkedRoom(b)
					var heads []*event.Event
					for i := range count {
						heads = append(heads, forked.build(forked.auth[2], "x", i))
					}
					forked.take(heads)
					spent += forked.take(forked.chain(heads[0], slot, length))
				}
				b.ReportMetric(float64(spent)/float64(floor), "ratio")
				b.ReportMetric(float64(spent.Microseconds())/float64(b.N*length), "cpu-µs/pdu")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkForkFlood is an attack: 10,000 events on one old parent, each with a state of its own. The cost of one is given as a ratio
// to that of events that follow each other.
func BenchmarkForkFlood(b *testing.B) {
	const flood = 10_000
	var floor, spent time.Duration
	for range b.N {
		honest := newForkedRoom(b)
		floor += honest.take(honest.chain(honest.auth[2], "x", flood))
		attacked := newForkedRoom(b)
		var events []*event.Event
		for i := range flood {
			events = append(events, attacked.build(attacked.auth[2], fmt.Sprint(i), i))
		}
		spent += attacked.take(events)
	}
	b.ReportMetric(float64(spent)/float64(floor), "ratio")
	b.ReportMetric(float64(spent.Microseconds())/float64(b.N*flood), "cpu-µs/pdu")
	b.ReportMetric(0, "ns/op")
}
