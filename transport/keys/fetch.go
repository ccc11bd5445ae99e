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
	// maxFetchesPerCall leaves room for others beside a caller that meets a thousand servers at once, as a join does.
	maxFetchesPerCall = 32
	// DefaultTimeout is for one server, name resolution included; tuwunel's federation_keys_timeout.
	DefaultTimeout = 8 * time.Second
)

// flight is one request under way, on behalf of the records that it was begun for. Its goroutine ends soon after the last caller
// that waits for it has left.
type flight struct {
	records []*record
	waiting int // guarded by the ring's mutex
	cancel  context.CancelFunc
	done    chan struct{}
}

// fetchAll asks the servers, several at a time, and returns when all are done or ctx ends. Shares bound
// the fetches that their callers have under way together.
func (r *Ring) fetchAll(ctx context.Context, records []*record, shares ...*share) {
	work := make(chan *record)
	var wg sync.WaitGroup
	for range min(len(records), maxFetchesPerCall) {
		wg.Go(func() {
			for rec := range work {
				if takeAll(ctx, shares) {
					r.fetchOne(ctx, rec)
					giveAll(shares)
				}
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
	if f := r.board(rec); f != nil {
		r.await(ctx, f)
	}
}

// await waits for a flight that the caller has boarded, or for ctx to end.
func (r *Ring) await(ctx context.Context, f *flight) {
	select {
	case <-f.done:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if f.waiting--; f.waiting == 0 {
		f.cancel()
		f.release() // if it was abandoned, who comes next needs a new one
	}
}

// release takes the flight out of its records. The caller holds mu.
func (f *flight) release() {
	for _, rec := range f.records {
		if rec.flight == f {
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
		rec.flight = &flight{records: []*record{rec}, cancel: cancel, done: make(chan struct{})}
		slots := r.strangers
		if len(rec.history) > 0 {
			slots = r.known
		}
		go r.fly(ctx, rec, rec.flight, slots)
	}
	rec.flight.waiting++
	return rec.flight
}

// fly performs the fetch and lands its result in the record.
func (r *Ring) fly(ctx context.Context, rec *record, f *flight, slots *share) {
	defer close(f.done)
	if !slots.take(ctx) {
		return
	}
	defer slots.give()
	started := time.Now()
	doc, raw, err := r.ask(ctx, rec.server)
	if errors.Is(ctx.Err(), context.Canceled) {
		return // all callers have left; this says nothing about the server
	}
	r.mu.Lock()
	event := r.land(rec, doc, raw, err)
	f.release()
	r.mu.Unlock()
	event.Took = time.Since(started)
	r.trace.Emit(event)
}

func (r *Ring) ask(ctx context.Context, server ident.ServerName) (*Document, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
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
		r.witness("", doc)
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
