// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"context"
	"sync"
	"time"

	"github.com/strata-matrix/strata/persistence"
)

// patience is how long a reader waits for the feed to come to where the store is. It is some milliseconds behind; a second where a burst of
// events is worked off, and then it is better to answer with what there is.
const patience = time.Second

// Progress is how far the feed is. Who has been answered what they wrote reads it: a reader waits until the feed has come to where the
// store was when they asked.
type Progress struct {
	store *persistence.Store
	ready chan struct{} // closed when what there was at the start has been worked off

	mu   sync.Mutex // guards at and next
	at   persistence.Position
	next chan struct{} // closed when at has changed; nil while nobody waits
}

// NewProgress is that of a feed that has not begun.
func NewProgress(store *persistence.Store) *Progress {
	return &Progress{store: store, ready: make(chan struct{})}
}

// Now is the last position that has been worked off: what clients may be told of. What is in the store when it is called is among it,
// unless the feed is far behind.
func (p *Progress) Now(ctx context.Context) (persistence.Position, error) {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if at, behind := p.reached(p.store.Now()); behind == nil {
		return at, nil
	}
	bounded, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := p.CatchUp(bounded); err != nil && ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return p.Reached(), nil
}

// CatchUp waits until all has been worked off that is in the store when it is called, however long that takes.
func (p *Progress) CatchUp(ctx context.Context) error {
	wanted := p.store.Now()
	for {
		_, next := p.reached(wanted)
		if next == nil {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Reached is the last position that has been worked off, whatever there is in the store. It is for who was told of it.
func (p *Progress) Reached() persistence.Position {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// reached is how far the feed is, and if that is not as far as is wanted, what is closed when it has come further.
func (p *Progress) reached(wanted persistence.Position) (at persistence.Position, next <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at >= wanted {
		return p.at, nil
	}
	if p.next == nil {
		p.next = make(chan struct{})
	}
	return p.at, p.next
}

// advance is for the feed, when it has worked off what there is through a position.
func (p *Progress) advance(at persistence.Position) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = at
	if p.next != nil {
		close(p.next)
		p.next = nil
	}
}

// open lets the readers in, once.
func (p *Progress) open() {
	select {
	case <-p.ready:
	default:
		close(p.ready)
	}
}
