// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// Whatever fails, hangs, crashes or restarts: each server gets exactly what was committed for it, in order, under ids that always
// carry the same bytes, one transaction at a time (T-02).
func TestOutboxKeepsItsPromisesUnderChance(t *testing.T) {
	for seed := range uint64(4) {
		synctest.Test(t, func(t *testing.T) {
			c := newChance(t, seed)
			for range 40 {
				c.step()
			}
			c.calm.Store(true)
			if c.crashed.Err() != nil {
				c.restart()
			}
			time.Sleep(3 * testPolicy.Max)
			c.check()
			c.stop()
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// chance is a bench on which things go wrong by the seed. Its random numbers are drawn under the peers' mutex.
type chance struct {
	*bench
	rand     *rand.Rand
	servers  []ident.ServerName
	want     map[ident.ServerName][]string
	next     int
	calm     atomic.Bool
	crashed  context.Context // of this life
	crash    context.CancelFunc
	accepted map[ident.ServerName][]request // in the order in which the servers took them, repetitions included
}

func newChance(t *testing.T, seed uint64) *chance {
	c := &chance{
		bench: newBench(t), rand: rand.New(rand.NewPCG(seed, 0)),
		want: map[ident.ServerName][]string{}, accepted: map[ident.ServerName][]request{},
	}
	for i := range 12 {
		c.servers = append(c.servers, ident.ServerName(fmt.Sprintf("s%d.example", i)))
	}
	c.crashed, c.crash = context.WithCancel(context.Background())
	c.commitPoint = c.maybeCrash
	c.peers.answer = c.answer
	c.peers.version = func(ident.ServerName) error {
		if c.draw(2) == 0 {
			return errors.New("lost")
		}
		return nil
	}
	return c
}

func (c *chance) draw(n int) int {
	c.peers.mu.Lock()
	defer c.peers.mu.Unlock()
	return c.rand.IntN(n)
}

func (c *chance) maybeCrash(persistence.Point) error {
	if c.calm.Load() || c.draw(300) > 0 {
		return nil
	}
	c.crash()
	return errors.New("crash")
}

// answer takes a transaction or not, and if it took it may still fail to say so.
func (c *chance) answer(r request) (transport.Answer, error) {
	time.Sleep(time.Duration(c.draw(20)) * time.Second)
	luck := c.draw(4)
	if c.calm.Load() {
		luck = 0
	}
	if luck < 2 {
		c.peers.mu.Lock()
		c.accepted[r.to] = append(c.accepted[r.to], r)
		c.peers.mu.Unlock()
	}
	switch luck {
	case 0:
		return transport.Answer{Status: 200, Body: []byte(`{"pdus":{}}`)}, nil
	case 2:
		return transport.Answer{}, &transport.Failure{Class: "http429", Status: 429, RetryAfter: time.Minute}
	default:
		return transport.Answer{}, &transport.Failure{Class: "timeout"}
	}
}

func (c *chance) step() {
	switch c.draw(8) {
	case 0:
		c.restart()
	case 1, 2:
		time.Sleep(time.Duration(c.draw(100)) * time.Second)
	case 3:
		c.outbox.Heard(c.servers[c.draw(len(c.servers))])
	default:
		for range 1 + c.draw(40) {
			c.queue()
		}
	}
	if c.crashed.Err() != nil {
		c.restart()
	}
}

// queue queues an event for some of the servers. One whose job got no answer, because of a crash, is wanted if it is in the log.
func (c *chance) queue() {
	var to []ident.ServerName
	for _, server := range c.servers {
		if c.draw(3) == 0 {
			to = append(to, server)
		}
	}
	n := c.next
	c.next++
	before := c.crashed
	err := c.store.Update(context.Background(), func(tx *persistence.Tx) error {
		return c.outbox.EnqueuePDU(tx, "!r:us.example", ident.EventID(fmt.Sprint("$", n)), []byte(fmt.Sprintf(`{"n":%d}`, n)), to)
	})
	if before.Err() != nil && err != nil {
		c.restart()
		if !c.logged(n, to) {
			return
		}
	} else if err != nil {
		c.t.Fatal(err)
	}
	for _, server := range to {
		c.want[server] = append(c.want[server], fmt.Sprintf(`{"n":%d}`, n))
	}
}

// logged tells whether an event that was being queued for servers when the store crashed is in the file.
func (c *chance) logged(n int, to []ident.ServerName) bool {
	found := false
	err := c.store.View(context.Background(), func(tx *persistence.Tx) error {
		if len(to) == 0 {
			return nil
		}
		_, _, err := tx.NextOutbound(to[0], 0, 1<<20, func(item persistence.Outbound) bool {
			found = found || item.EventID == ident.EventID(fmt.Sprint("$", n))
			return true
		})
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return found
}

// restart stops what runs, which may have crashed, and starts it anew.
func (c *chance) restart() {
	c.cancel()
	if err := <-c.done; err != nil && !errors.Is(err, persistence.ErrClosed) {
		c.t.Errorf("Run: %v", err)
	}
	_ = c.store.Close()
	c.crashed, c.crash = context.WithCancel(context.Background())
	c.start()
}

// unseen is what of a list of events is new to a server that knows an event by its id: a transaction that it took without being
// able to say so is withdrawn in the end, and its contents come again.
func unseen(events []string) (list []string) {
	seen := map[string]bool{}
	for _, e := range events {
		if !seen[e] {
			list = append(list, e)
		}
		seen[e] = true
	}
	return list
}

func (c *chance) check() {
	c.peers.mu.Lock()
	defer c.peers.mu.Unlock()
	if c.peers.overlap {
		c.t.Error("T-02: two transactions in flight to one server")
	}
	bodies := map[string]string{}
	for _, r := range c.peers.requests {
		if body, known := bodies[r.txnID]; known && body != r.body {
			c.t.Errorf("id %s carried %s and %s", r.txnID, body, r.body)
		}
		bodies[r.txnID] = r.body
	}
	for _, server := range slices.Sorted(maps.Keys(c.want)) {
		seen := map[string]bool{}
		var once []request
		for _, r := range c.accepted[server] {
			if !seen[r.txnID] {
				once = append(once, r)
			}
			seen[r.txnID] = true
		}
		if got, want := unseen(pdus(c.t, once)), c.want[server]; !slices.Equal(got, want) {
			c.t.Errorf("%s got %v\nwant %v", server, got, want)
		}
	}
}
