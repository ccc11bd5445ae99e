// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
)

// noOutbox sends nothing.
type noOutbox struct{}

func (noOutbox) EnqueuePDU(*persistence.Tx, ident.RoomID, ident.EventID, []byte, []ident.ServerName) error {
	return nil
}

// noNetwork reaches nobody.
type noNetwork struct{}

func (noNetwork) Do(context.Context, ident.ServerName, transport.Call) (transport.Answer, error) {
	return transport.Answer{}, context.DeadlineExceeded
}

// oneKey is the key of the server that the benchmark's events are of, ready as the real ring has it.
type oneKey struct{ key ed25519.PublicKey }

func (k oneKey) Keys(_ context.Context, queries []keys.Query) map[keys.Query]ed25519.PublicKey {
	found := make(map[keys.Query]ed25519.PublicKey, len(queries))
	for _, q := range queries {
		found[q] = k.key
	}
	return found
}

// BenchmarkReceive takes transactions of 50 messages in, from the parsed request to the durable verdict, and reports CPU time as
// a ratio to the floor: a standard-library Ed25519 verification and two SHA-256 of each event (1.0 is the floor, less is
// better).
func BenchmarkReceive(b *testing.B) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	open := func(name ident.ServerName) *pdu.Engine {
		store, err := persistence.Open(ctx, persistence.Options{Path: filepath.Join(b.TempDir(), "store"), ServerName: string(name)})
		if err != nil {
			b.Fatal(err)
		}
		engine, err := pdu.NewEngine(pdu.EngineConfig{
			Self: name, Key: keyOf(name), Store: store, Keys: noNotary{oneKey{keyOf(name).Public()}}, Client: noNetwork{}, Outbox: noOutbox{},
		})
		if err != nil {
			b.Fatal(err)
		}
		go func() { _ = engine.Run(ctx) }()
		return engine
	}
	engine := open("a.example")
	room, ids, err := engine.CreateRoom(ctx, "10", alice, []byte(`{}`), []pdu.Draft{
		member(alice, alice, "join"), stateDraft(alice, "m.room.power_levels", `{"users":{"@alice:a.example":100}}`),
	})
	if err != nil {
		b.Fatal(err)
	}
	var auth []*event.Event
	for _, id := range ids {
		stored, err := engine.Event(ctx, id)
		if err != nil {
			b.Fatal(err)
		}
		auth = append(auth, stored.Event)
	}

	const size = 50
	chain := makeChain(b, room, auth, b.N*size)
	key := keyOf("a.example")
	signature := ed25519.Sign(key.Private, chain[0])
	b.ResetTimer()
	floor := cpuTime(b)
	for _, wire := range chain {
		sha256.Sum256(wire)
		sha256.Sum256(wire)
		ed25519.Verify(key.Public(), chain[0], signature)
	}
	floor = cpuTime(b) - floor
	begun := cpuTime(b)
	news := engine.News()
	for n := range b.N {
		staged, err := engine.ReceivePDUs(ctx, transaction.Inbound{Origin: "b.example", PDUs: chain[n*size : (n+1)*size]})
		if err != nil {
			b.Fatal(err)
		}
		if err := staged.Keep(ctx, func(*persistence.Tx) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	for engineBehind(b, engine, len(chain)+len(ids)) {
		<-news
		news = engine.News()
	}
	spent := cpuTime(b) - begun
	b.ReportMetric(float64(spent)/float64(floor), "ratio")
	b.ReportMetric(float64(spent.Microseconds())/float64(len(chain)), "cpu-µs/pdu")
	b.ReportMetric(0, "ns/op")
}

// engineBehind says whether fewer events than wanted have been accepted.
func engineBehind(b *testing.B, engine *pdu.Engine, want int) bool {
	list, err := engine.Since(context.Background(), persistence.Position(want-1), 1)
	if err != nil {
		b.Fatal(err)
	}
	return len(list) == 0
}

// makeChain is messages that follow each other.
func makeChain(b *testing.B, room ident.RoomID, auth []*event.Event, length int) [][]byte {
	b.Helper()
	v := auth[0].Version()
	chain := make([][]byte, 0, length)
	last := auth[len(auth)-1]
	for range length {
		p := event.Proto{
			RoomID: room, Sender: alice, Type: "m.room.message", Content: []byte(`{"body":"some words, as people say them","msgtype":"m.text"}`),
			PrevEvents: []event.Ref{last.Ref()}, Depth: last.Depth() + 1, OriginServerTS: time.Now().UnixMilli(),
			AuthEvents: []event.Ref{auth[0].Ref(), auth[1].Ref(), auth[2].Ref()},
		}
		e, err := event.Build(v, p, "a.example", keyOf("a.example"))
		if err != nil {
			b.Fatal(err)
		}
		chain, last = append(chain, e.JSON()), e
	}
	return chain
}

func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
