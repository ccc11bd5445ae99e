// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"testing"
	"unsafe"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxIdleBytes is what a destination may take in memory while there is nothing to send to it.
const maxIdleBytes = 512

// mute is a Sender that nothing is to be sent with.
type mute struct{}

func (mute) Do(context.Context, ident.ServerName, transport.Call) (transport.Answer, error) {
	return transport.Answer{}, &transport.Failure{Class: transport.ClassDial}
}

func TestIdleDestinationsTakeLittleMemory(t *testing.T) {
	if perIdle, _ := memoryOfIdle(t, 10_000); perIdle > maxIdleBytes {
		t.Errorf("%.0f bytes for an idle destination, want no more than %d", perIdle, maxIdleBytes)
	}
}

// BenchmarkIdleDestinations measures the memory of 100,000 servers to which nothing is to be sent. The floor is the bare struct with
// its name.
func BenchmarkIdleDestinations(b *testing.B) {
	perIdle, floor := memoryOfIdle(b, 100_000)
	b.ReportMetric(perIdle, "B/destination")
	b.ReportMetric(floor, "floor-B/destination")
	b.ReportMetric(perIdle/floor, "ratio")
	b.ReportMetric(0, "ns/op")
}

// memoryOfIdle is how much more memory an outbox takes that has loaded so many idle destinations, by destination.
func memoryOfIdle(t testing.TB, destinations int) (perIdle, floor float64) {
	t.Helper()
	store, err := persistence.Open(t.Context(), persistence.Options{
		Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "us.example", NoSync: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	name := 0
	err = store.Update(t.Context(), func(tx *persistence.Tx) error {
		servers := make([]ident.ServerName, destinations)
		for i := range servers {
			servers[i] = ident.ServerName(fmt.Sprintf("matrix%d.example.org", i))
			name = len(servers[i])
		}
		item, err := tx.Enqueue(persistence.Outbound{Kind: persistence.KindPDU, Content: []byte(`{}`)}, servers)
		for _, server := range servers {
			if err == nil { // it was reached once, failed once, and has everything
				err = tx.SetDestination(persistence.Destination{Server: server, Cursor: item.Position, LastSuccess: 2, LastFailure: 1, LastClass: "timeout"})
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	outbox, err := NewOutbox(OutboxConfig{Self: "us.example", Store: store, Sender: mute{}})
	if err != nil {
		t.Fatal(err)
	}
	before := inUse()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- outbox.Run(ctx) }()
	known := 0
	if err := outbox.order(t.Context(), func() { known = len(outbox.destinations) }); err != nil || known != destinations {
		t.Fatalf("%d destinations loaded (%v), want %d", known, err, destinations)
	}
	perIdle = (inUse() - before) / float64(destinations)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	return perIdle, float64(unsafe.Sizeof(destination{})) + float64(name)
}

// inUse is the memory in use after what is of no use has been given back.
func inUse() float64 {
	for range 3 {
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}
