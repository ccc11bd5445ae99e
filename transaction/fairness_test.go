// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// crowd is a Sender to many servers, the odd ones of which hang until their attempt is over.
type crowd struct {
	mu     sync.Mutex
	served map[ident.ServerName]time.Time // the even ones, last
}

func (c *crowd) Do(_ context.Context, to ident.ServerName, call transport.Call) (transport.Answer, error) {
	if to[0] == 'o' {
		time.Sleep(call.Timeout)
		return transport.Answer{}, &transport.Failure{Class: transport.ClassTimeout, Phase: transport.PhaseConnect}
	}
	time.Sleep(200 * time.Millisecond)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.served[to] = time.Now()
	return taken, nil
}

// latest is when the last of so many was served, counted from begun.
func (c *crowd) latest(t *testing.T, begun time.Time, servers int) (last time.Duration) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	served := 0
	for _, at := range c.served {
		if at.After(begun) {
			served++
			last = max(last, at.Sub(begun))
		}
	}
	if served != servers {
		t.Errorf("%d servers that are well were served, want %d", served, servers)
	}
	return last
}

// Half of ten thousand servers hang. The first event learns of it: the others have it after minutes, not after the two hours that a
// minute each of five thousand would take in 48 places. Later ones do not notice: they have all else, as if the half did not exist.
func TestThoseWhichHangDoNotDelayTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const servers, places = 2_500, 16 // a quarter of ten thousand, and of the places that there are for them
		store, err := persistence.Open(t.Context(), persistence.Options{
			Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "us.example", NoSync: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		peers := &crowd{served: map[ident.ServerName]time.Time{}}
		outbox, err := transaction.NewOutbox(transaction.OutboxConfig{Self: "us.example", Store: store, Sender: peers, Policy: transaction.RetryPolicy{Concurrent: places}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- outbox.Run(ctx) }()
		all := make([]ident.ServerName, servers)
		for i := range all {
			all[i] = ident.ServerName(fmt.Sprintf("%s%d.example", []string{"even", "odd"}[i%2], i))
		}
		send := func(n int, wait time.Duration) time.Duration {
			begun := time.Now()
			err := store.Update(t.Context(), func(tx *persistence.Tx) error {
				return outbox.EnqueuePDU(tx, "!r:us.example", ident.EventID(fmt.Sprint("$", n)), []byte(`{}`), all)
			})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(wait)
			return peers.latest(t, begun, servers/2)
		}
		if took := send(1, 20*time.Minute); took > 15*time.Minute {
			t.Errorf("the first event took %v", took)
		}
		// 1,250 times 0.2 seconds in 12 places are 21 seconds.
		if took := send(2, 2*time.Minute); took > 25*time.Second {
			t.Errorf("the second event took %v", took)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
}
