// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	// maxFetches are under way at a time, of all callers together.
	maxFetches = 128
	// maxFetchesPerCall leaves room for others beside a caller that meets a thousand servers at once, as a join does.
	maxFetchesPerCall = 32
	// fetchTimeout is for one server, name resolution included; tuwunel's federation_keys_timeout.
	fetchTimeout = 8 * time.Second
)

// flight is one fetch under way. Its goroutine ends soon after the last caller that waits for it has left.
type flight struct {
	waiting int // guarded by the ring's mutex
	cancel  context.CancelFunc
	done    chan struct{}
}

// fetchAll asks the servers, several at a time, and returns when all are done or ctx ends.
func (r *Ring) fetchAll(ctx context.Context, records []*record) {
	work := make(chan *record)
	var wg sync.WaitGroup
	for range min(len(records), maxFetchesPerCall) {
		wg.Go(func() {
			for rec := range work {
				r.fetchOne(ctx, rec)
			}
		})
	}
	for _, rec := range records {
		if ctx.Err() != nil {
			break
		}
		work <- rec
	}
	close(work)
	wg.Wait()
}

// fetchOne joins the fetch of the server's keys that is under way or starts one, and waits for it or for ctx to end.
func (r *Ring) fetchOne(ctx context.Context, rec *record) {
	f := r.board(rec)
	if f == nil {
		return
	}
	select {
	case <-f.done:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.waiting--; f.waiting == 0 {
		f.cancel()
		if rec.flight == f { // abandoned: who comes next needs a new one
			rec.flight = nil
		}
	}
}

// board is nil when somebody else's fetch ended just now, and the server is not to be asked again yet.
func (r *Ring) board(rec *record) *flight {
	r.mu.Lock()
	defer r.mu.Unlock()
	if rec.flight == nil {
		if time.Now().Before(rec.nextAsk) {
			return nil
		}
		ctx, cancel := context.WithCancel(context.Background())
		rec.flight = &flight{cancel: cancel, done: make(chan struct{})}
		go r.fly(ctx, rec, rec.flight)
	}
	rec.flight.waiting++
	return rec.flight
}

// fly performs the fetch and lands its result in the record.
func (r *Ring) fly(ctx context.Context, rec *record, f *flight) {
	defer close(f.done)
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return
	}
	started := time.Now()
	doc, raw, err := r.ask(ctx, rec.server)
	if errors.Is(ctx.Err(), context.Canceled) {
		return // all callers have left; this says nothing about the server
	}
	r.mu.Lock()
	event := r.land(rec, doc, raw, err)
	if rec.flight == f {
		rec.flight = nil
	}
	r.mu.Unlock()
	event.Took = time.Since(started)
	r.trace.Emit(event)
}

func (r *Ring) ask(ctx context.Context, server ident.ServerName) (*Document, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	raw, err := r.fetch.FetchKeys(ctx, server)
	if err != nil {
		return nil, nil, err
	}
	doc, err := ParseDocument(server, raw, time.Now().UnixMilli())
	return doc, raw, err
}

// land takes over the result of a fetch. The caller holds mu.
func (r *Ring) land(rec *record, doc *Document, raw []byte, err error) trace.KeysFetched {
	event := trace.KeysFetched{Server: string(rec.server)}
	if err != nil {
		rec.failures++
		event.Error = err.Error()
	} else {
		rec.failures = 0
		event.Keys, event.ValidUntil = len(doc.Current), doc.Validity()
		if rec.history, event.Changed = rec.history.add(doc); event.Changed {
			r.cache.settle(rec)
			r.unsaved = append(r.unsaved, toKeep(rec.history, raw))
		}
	}
	rec.nextAsk = time.Now().Add(coolDown(rec.failures))
	event.RetryAt = rec.nextAsk
	return event
}

// toKeep is the newest document of a history as it is to be written.
func toKeep(h history, raw []byte) kept {
	k := kept{document: persistence.KeyDocument{Server: h[0].Server, FetchedAt: h[0].FetchedAt, Document: raw}}
	for _, old := range h[1:] {
		k.keep = append(k.keep, old.FetchedAt)
	}
	return k
}
