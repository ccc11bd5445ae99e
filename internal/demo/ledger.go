// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"sync"

	"github.com/strata-matrix/strata/transport/ident"
)

// ledger is what the running servers have told so far; it tells the demo when to go on, and proves nothing. mu guards it all.
type ledger struct {
	mu        sync.Mutex
	changed   chan struct{} // closed with the next news
	delivered []map[ident.EventID]bool
	failed    map[ident.ServerName]int // attempts to reach a server that failed
}

func newLedger(servers int) *ledger {
	l := &ledger{changed: make(chan struct{}), failed: map[ident.ServerName]int{}}
	for range servers {
		l.delivered = append(l.delivered, map[ident.EventID]bool{})
	}
	return l
}

// note takes in news of a server, 1 for the first.
func (l *ledger) note(server int, news report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if news.Delivered != "" {
		l.delivered[server-1][news.Delivered] = true
	}
	if news.Failed != "" {
		l.failed[news.Failed]++
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// missing counts the events that a server has not told of.
func (l *ledger) missing(server int, events []sent) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		if !l.delivered[server-1][e.id] {
			n++
		}
	}
	return n
}

// failures is how many attempts to reach a server failed.
func (l *ledger) failures(server ident.ServerName) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed[server]
}

// wait returns when done is true, asking anew with all news; else with the cause of ctx's end.
func (l *ledger) wait(ctx context.Context, done func() bool) error {
	for {
		l.mu.Lock()
		changed := l.changed
		l.mu.Unlock()
		if done() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
