// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"context"
	"sync"
)

// Fetches are the one thing that anybody can make us do by naming servers that do not answer. What is under way at a time is bounded
// in three ways, so that nobody takes it all.
const (
	// maxKnown are under way at a time to servers that gave us a document before: whoever invents names cannot take these.
	maxKnown = 64
	// maxStrangers are under way at a time to all others.
	maxStrangers = 64
	// maxPerPayer are under way at a time on behalf of one payer, see OnBehalf.
	maxPerPayer = 16
)

type payerKey struct{}

// OnBehalf charges the fetches that calls with this context cause to whoever caused them: the server whose events name keys, or
// the address that a request came from. Without a payer it is ourselves.
func OnBehalf(ctx context.Context, payer string) context.Context {
	return context.WithValue(ctx, payerKey{}, payer)
}

// payers are the shares of those on whose behalf something is fetched now. Each lives as long as a call uses it.
type payers struct {
	mu     sync.Mutex
	shares map[string]*share
}

// share has a place for each fetch that one payer may have under way. A nil share has room for everything.
type share struct {
	places chan struct{}
	users  int // guarded by the payers' mutex
}

func newShare(places int) *share { return &share{places: make(chan struct{}, places)} }

// open is the share of the context's payer, nil if there is none. done is to be called when the call is over.
func (p *payers) open(ctx context.Context) (s *share, done func()) {
	payer, _ := ctx.Value(payerKey{}).(string)
	if payer == "" {
		return nil, func() {}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shares[payer] == nil {
		p.shares[payer] = newShare(maxPerPayer)
	}
	s = p.shares[payer]
	s.users++
	return s, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if s.users--; s.users == 0 {
			delete(p.shares, payer)
		}
	}
}

// take is false when ctx ended before there was room.
func (s *share) take(ctx context.Context) bool {
	if s == nil {
		return true
	}
	select {
	case s.places <- struct{}{}:
		if ctx.Err() == nil {
			return true
		}
		s.give() // both had come: nothing is begun any more
		return false
	case <-ctx.Done():
		return false
	}
}

func (s *share) give() {
	if s != nil {
		<-s.places
	}
}

// takeAll takes a place in each share or in none. All callers name their shares in one order, the narrower first, so that nobody
// holds a place of many while it waits for one of few.
func takeAll(ctx context.Context, shares []*share) bool {
	for i, s := range shares {
		if !s.take(ctx) {
			giveAll(shares[:i])
			return false
		}
	}
	return true
}

func giveAll(shares []*share) {
	for _, s := range shares {
		s.give()
	}
}
