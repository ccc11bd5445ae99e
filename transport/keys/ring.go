// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"context"
	"crypto/ed25519"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxUnsaved bounds the documents that wait for the next write after one was interrupted; beyond it they stay in memory only.
const maxUnsaved = 1024

// Fetcher asks other servers for key documents. The transport's client is one.
type Fetcher interface {
	// FetchKeys asks a server for its own: GET /_matrix/key/v2/server.
	FetchKeys(ctx context.Context, server ident.ServerName) ([]byte, error)
	// QueryKeys asks a notary for those of others: POST /_matrix/key/v2/query with the body.
	QueryKeys(ctx context.Context, notary ident.ServerName, body []byte) ([]byte, error)
}

// RingConfig is what a Ring is made of.
type RingConfig struct {
	Own   *Own
	Store *persistence.Store // nil: remote keys are kept in memory only
	Fetch Fetcher
	// Trusted are notaries whose word counts for servers that cannot be asked themselves, in the order in which to ask them.
	Trusted []Trusted
	// Timeout is for one server, 0 for DefaultTimeout.
	Timeout time.Duration
	Trace   trace.Sink // may be nil
}

// Trusted is a notary that the operator trusts, one of trusted_key_servers.
type Trusted struct {
	Server ident.ServerName
	Keys   map[ident.KeyID]ed25519.PublicKey // that it signs with, nil: those that it publishes
}

// Ring finds public keys. Any number of goroutines may use it; mu guards what changes, and is never held while waiting.
type Ring struct {
	own       *Own
	documents documents
	fetch     Fetcher
	trace     trace.Sink
	trusted   []Trusted
	timeout   time.Duration
	known     *share // a place for each fetch that may be under way to servers with a history
	strangers *share // and to others
	others    *share // of these, those on behalf of servers that ask us as a notary
	renewals  *share // of these, those for nobody in particular
	payers    payers

	alive context.Context // ends with Close
	end   context.CancelFunc
	work  sync.WaitGroup // renewals

	mu      sync.Mutex
	cache   *cache // what servers say of themselves
	told    *cache // what notaries say of them
	unsaved []kept
	unseen  []persistence.KeySighting // likewise to be written
	closed  bool
}

// NewRing makes a Ring. Work goes on only while a caller waits for it, but for renewals, which Close ends.
func NewRing(cfg RingConfig) *Ring {
	r := &Ring{
		own:       cfg.Own,
		documents: forgetful{},
		fetch:     cfg.Fetch,
		trace:     trace.OrDiscard(cfg.Trace),
		trusted:   cfg.Trusted,
		timeout:   cfg.Timeout,
		known:     newShare(maxKnown),
		strangers: newShare(maxStrangers),
		others:    newShare(maxFetchesForOthers),
		renewals:  newShare(maxRenewals),
		payers:    payers{shares: make(map[string]*share)},
		cache:     newCache(maxCached),
		told:      newCache(maxTold),
	}
	if r.timeout <= 0 {
		r.timeout = DefaultTimeout
	}
	r.alive, r.end = context.WithCancel(context.Background())
	if cfg.Store != nil {
		r.documents = stored{cfg.Store}
	}
	return r
}

// Published is our signed key document, to be served at now. It must not be modified.
func (r *Ring) Published(now time.Time) []byte { return r.own.Published(now) }

// Trusted are the notaries that are believed.
func (r *Ring) Trusted() (names []ident.ServerName) {
	for _, notary := range r.trusted {
		names = append(names, notary.Server)
	}
	return names
}

// Remembered is how many servers' keys are in memory.
func (r *Ring) Remembered() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.cache.entries)
}

// Close ends what goes on for nobody. The ring can still be used; it renews nothing any more.
func (r *Ring) Close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.end()
	r.work.Wait()
}

// Keys finds the keys that may be used as the queries ask. A query without an entry in the result has no usable key: the server
// does not have it, may not use it for this, or could not be asked. Servers are asked at most once for all queries and callers
// together; the trusted notaries are asked for what they do not give. The call returns early when ctx ends, with what it has.
func (r *Ring) Keys(ctx context.Context, queries []Query) map[Query]ed25519.PublicKey {
	found := r.direct(ctx, queries)
	for _, notary := range r.trusted {
		if len(found) == len(queries) {
			break
		}
		i := inquiry{ring: r, notary: notary.Server, trusted: true, pinned: notary.Keys, attempts: 1}
		r.inquire(ctx, i, queries, found)
	}
	return found
}

// direct is Keys without notaries.
func (r *Ring) direct(ctx context.Context, queries []Query) map[Query]ed25519.PublicKey {
	found := make(map[Query]ed25519.PublicKey, len(queries))
	remote := make([]Query, 0, len(queries))
	for _, q := range queries {
		if q.Server != r.own.server {
			remote = append(remote, q)
		} else if public, ok := r.own.public(q); ok {
			found[q] = public
		}
	}
	if len(remote) == 0 {
		return found
	}
	records := r.records(remote)
	r.load(ctx, records)
	if ask := r.answer(found, remote, records); len(ask) > 0 {
		share, done := r.payers.open(ctx)
		defer done()
		r.fetchAll(ctx, ask, share)
		r.answer(found, remote, records)
		r.save(ctx)
	}
	r.renew(remote, records)
	return found
}

// records finds the record of each server that the queries name.
func (r *Ring) records(queries []Query) map[ident.ServerName]*record {
	records := make(map[ident.ServerName]*record)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range queries {
		if records[q.Server] == nil {
			records[q.Server] = r.cache.get(source{server: q.Server})
		}
	}
	return records
}

// load asks the store for the servers about which it was not asked yet. When it fails they stay as they are, and are not fetched
// either: a document that is taken over without its history would replace it.
func (r *Ring) load(ctx context.Context, records map[ident.ServerName]*record) {
	var missing []ident.ServerName
	r.mu.Lock()
	for server, rec := range records {
		if !rec.loaded {
			missing = append(missing, server)
		}
	}
	r.mu.Unlock()
	for servers := range slices.Chunk(missing, maxLoad) {
		docs, err := r.documents.load(ctx, servers)
		if err != nil {
			r.noteStore(err)
			return
		}
		histories := make(map[ident.ServerName]history, len(docs))
		for server, stored := range docs {
			histories[server] = readHistory(stored)
		}
		r.mu.Lock()
		for _, server := range servers {
			if rec := records[server]; !rec.loaded {
				rec.loaded, rec.history = true, histories[server]
				r.cache.settle(rec)
			}
		}
		r.mu.Unlock()
	}
}

// readHistory leaves out what cannot be read any more, such as a document from before a limit was lowered.
func readHistory(stored []persistence.KeyDocument) history {
	var h history
	for _, s := range stored {
		if doc, err := ReadDocument(s.Server, s.Document, s.FetchedAt); err == nil {
			h = append(h, doc)
		}
	}
	return h
}

// answer fills in what the records allow, and returns the records of servers that are worth asking now.
func (r *Ring) answer(found map[Query]ed25519.PublicKey, queries []Query, records map[ident.ServerName]*record) []*record {
	now := time.Now()
	ask := make(map[*record]bool)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range queries {
		rec := records[q.Server]
		switch public, verdict := rec.history.judge(q, now.UnixMilli()); verdict {
		case usable:
			found[q] = public
		case outdated:
			if rec.loaded && (rec.flight != nil || !now.Before(rec.nextAsk)) {
				ask[rec] = true
			}
		}
	}
	asked := make([]*record, 0, len(ask))
	for rec := range ask {
		asked = append(asked, rec)
	}
	return asked
}

// save writes every document that is new and all that was seen, this caller's and others', in one job. A write that the caller's
// context cut short is left to the next caller.
func (r *Ring) save(ctx context.Context) {
	r.mu.Lock()
	docs, seen := r.unsaved, r.unseen
	r.unsaved, r.unseen = nil, nil
	r.mu.Unlock()
	if len(docs) == 0 && len(seen) == 0 {
		return
	}
	if err := r.documents.save(ctx, docs, seen); err != nil && r.noteStore(err) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.unsaved, r.unseen = newest(append(docs, r.unsaved...)), newest(append(seen, r.unseen...))
	}
}

func newest[T any](unsaved []T) []T { return unsaved[max(0, len(unsaved)-maxUnsaved):] }

// noteStore reports whether the store failed only because the caller has left; every other failure is told.
func (r *Ring) noteStore(err error) (left bool) {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	r.trace.Emit(trace.KeysStoreFailed{Error: err.Error()})
	return false
}
