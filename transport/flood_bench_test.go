// SPDX-License-Identifier: Apache-2.0

//go:build linux

package transport

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/turns"
)

// BenchmarkFlood is what a peer with one request at a time notices of others that flood: how much more CPU time the whole process,
// the attackers in it included, spends from the beginning of each of its requests to the end. On a machine that does nothing else, the
// request takes so many times as long, divided by the cores. The requests have 40 KB and cause a millisecond's work; each origin
// floods with 48 at a time, twelve times what it may have at work. No share is fairer than one in so many as there are origins.
func BenchmarkFlood(b *testing.B) {
	for _, origins := range []int{1, 8} {
		b.Run(fmt.Sprintf("origins=%d", origins), func(b *testing.B) { benchmarkFlood(b, origins) })
	}
}

func benchmarkFlood(b *testing.B, origins int) {
	const flooding, each = 48, 100
	s, _ := newTestServer(b, func(c *ServerConfig) {
		c.Keys, c.Trace = &anyKeys{}, nil
		c.Routes = []Route{{Method: "PUT", Pattern: sendPattern, Handle: hashing}}
	})
	ca := newIssuer(b)
	port := netip.MustParseAddrPort(run(b, s, ca.config(b, "self.example"))).Port()
	call := Call{Method: "PUT", Path: send, Body: []byte(`{"pdus":["` + strings.Repeat("x", 40<<10) + `"]}`)}
	client := func(name ident.ServerName) (*Client, Call) {
		key := testKey(b, "ed25519:1", 1)
		signed := call // beforehand: what the attackers spend on signing is not the server's
		signed.Authorization = authorize(key, "PUT", send, string(name), "self.example", string(call.Body))
		return newTestClient(b, ca, at("self.example", port), func(c *setup) { c.ServerName, c.Key = name, key }), signed
	}
	victim, request := client("victim.example")
	spend := func() (spent time.Duration) {
		for range each {
			begun := cpuTime(b)
			if _, err := victim.Do(b.Context(), "self.example", request); err != nil {
				b.Fatal(err)
			}
			spent += cpuTime(b) - begun
		}
		return spent
	}
	var alone, beside time.Duration
	for b.Loop() {
		alone += spend()
		ctx, stop := context.WithCancel(b.Context())
		var flood sync.WaitGroup
		for i := range origins {
			attacker, request := client(ident.ServerName(fmt.Sprintf("flood%d.example", i)))
			for range flooding {
				flood.Go(func() {
					for ctx.Err() == nil { // refused or served, what counts is that it goes on
						_, _ = attacker.Do(ctx, "self.example", request)
					}
				})
			}
		}
		beside += spend()
		stop()
		flood.Wait()
	}
	b.ReportMetric(float64(alone.Microseconds())/float64(each*b.N), "alone-cpu-µs")
	b.ReportMetric(float64(beside)/float64(alone), "ratio")
}

// hashing handles a request with about a millisecond's work.
func hashing(ctx context.Context, _ *Request) (Reply, error) {
	err := turns.Do(ctx, func() {
		sum := sha256.Sum256(nil)
		for range 5000 {
			sum = sha256.Sum256(sum[:])
		}
	})
	return Reply{}, err
}
