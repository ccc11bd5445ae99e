// SPDX-License-Identifier: Apache-2.0

//go:build linux

package transport

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

// BenchmarkFlood is what a peer with one request at a time notices of others that flood: how much more CPU time the whole process,
// the attackers in it included, spends from the beginning of each of its requests to the end. On a machine that does nothing else, the
// request takes so many times as long, divided by the cores. The requests have 40 KB and cause a millisecond's work; the flood is
// of one origin with 64 at a time, sixteen times what it may have at work.
func BenchmarkFlood(b *testing.B) {
	work := func(context.Context, *Request) (Reply, error) {
		sum := sha256.Sum256(nil)
		for range 5000 { // about a millisecond
			sum = sha256.Sum256(sum[:])
		}
		return Reply{}, nil
	}
	s, _ := newTestServer(b, func(c *ServerConfig) {
		c.Keys, c.Trace = &anyKeys{}, nil
		c.Routes = []Route{{Method: "PUT", Pattern: sendPattern, Handle: work}}
	})
	ca := newIssuer(b)
	port := netip.MustParseAddrPort(run(b, s, ca.config(b, "self.example"))).Port()
	client := func(name ident.ServerName) *Client {
		return newTestClient(b, ca, at("self.example", port), func(c *setup) {
			c.ServerName, c.Key = name, testKey(b, "ed25519:1", 1)
		})
	}
	call := Call{Method: "PUT", Path: send, Body: []byte(`{"pdus":["` + strings.Repeat("x", 40<<10) + `"]}`)}
	victim, attacker := client("victim.example"), client("flood.example")
	spend := func() (spent time.Duration) {
		for range 100 {
			begun := cpuTime(b)
			if _, err := victim.Do(b.Context(), "self.example", call); err != nil {
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
		for range 64 {
			flood.Go(func() {
				for ctx.Err() == nil { // refused or served, what counts is that it goes on
					_, _ = attacker.Do(ctx, "self.example", call)
				}
			})
		}
		beside += spend()
		stop()
		flood.Wait()
	}
	b.ReportMetric(float64(alone.Microseconds())/float64(100*b.N), "alone-cpu-µs")
	b.ReportMetric(float64(beside)/float64(alone), "ratio")
}
