// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"context"
	"crypto/ed25519"
	"errors"
	"slices"
	"time"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	// inquiryWay is what one request to a notary may take beyond the time for one server, which the notary may have to ask itself.
	inquiryWay = 4 * time.Second
	// inquiryAttempts are made while the notary does not answer, the second after inquiryPause, each later one after twice the pause
	// before: half a minute in all, and the requests. A room that is joined without some of its members' keys stays wrong, and the
	// notary was there a moment ago. Who has less at stake leaves sooner.
	inquiryAttempts = 6
	inquiryPause    = time.Second
)

// errSilentNotary is no fault of the notary: it leaves out servers that it cannot reach.
var errSilentNotary = errors.New("the notary does not have them")

// KeysVia finds keys as Keys does. For events of servers that cannot be asked themselves it asks the notary, once for all of
// them: the server that handed the events to us. What a notary tells counts for the events that it hands to us itself and for
// nothing else; see the package's comment.
func (r *Ring) KeysVia(ctx context.Context, notary ident.ServerName, queries []Query) map[Query]ed25519.PublicKey {
	found := r.Keys(ctx, queries)
	if notary == r.own.server || len(found) == len(queries) {
		return found
	}
	r.inquire(ctx, inquiry{ring: r, notary: notary, attempts: inquiryAttempts}, queries, found)
	return found
}

// inquire asks a notary for what was not found, and adds what it tells.
func (r *Ring) inquire(ctx context.Context, i inquiry, queries []Query, found map[Query]ed25519.PublicKey) {
	i.direct, i.told = map[ident.ServerName]*record{}, map[ident.ServerName]*record{}
	for _, q := range queries {
		_, ok := found[q]
		if !ok && q.Server != r.own.server && (i.trusted || q.Use != ForRequest) {
			i.queries = append(i.queries, q)
		}
	}
	i.begin()
	if open := i.answer(found); len(open) > 0 {
		i.ask(ctx, open)
		i.answer(found)
		r.save(ctx)
	}
}

// inquiry is what one caller wants of a notary. It is not changed once it has begun; the records are guarded by the ring's mutex.
type inquiry struct {
	ring         *Ring
	notary       ident.ServerName
	trusted      bool                              // its word counts for requests too, and for events whoever hands them over
	pinned       map[ident.KeyID]ed25519.PublicKey // the notary's keys, nil: as it publishes them
	attempts     int
	queries      []Query
	direct, told map[ident.ServerName]*record
}

func (i *inquiry) begin() {
	i.ring.mu.Lock()
	defer i.ring.mu.Unlock()
	for _, q := range i.queries {
		if i.direct[q.Server] == nil {
			i.direct[q.Server] = i.ring.cache.get(source{server: q.Server})
			i.told[q.Server] = i.ring.told.get(source{server: q.Server, notary: i.notary})
		}
	}
}

// answer fills in what the notary told, and returns the queries that it is worth asking about now.
func (i *inquiry) answer(found map[Query]ed25519.PublicKey) (open []Query) {
	now := time.Now()
	i.ring.mu.Lock()
	defer i.ring.mu.Unlock()
	for _, q := range i.queries {
		direct, told := i.direct[q.Server], i.told[q.Server]
		if !direct.loaded {
			continue // the store failed: nobody knows what the server itself has said
		}
		switch public, verdict := judgeTold(direct.history, told.history, told.basis, q, now.UnixMilli(), i.trusted); verdict {
		case usable:
			found[q] = public
		case outdated:
			if told.flight != nil || !now.Before(told.nextAsk) {
				open = append(open, q)
			}
		}
	}
	return open
}

// ask waits for what is being asked about the queries' servers, and asks about the others.
func (i *inquiry) ask(ctx context.Context, open []Query) {
	boarded := map[*flight]bool{}
	i.ring.mu.Lock()
	var fresh []ident.ServerName
	for _, q := range open {
		if f := i.told[q.Server].flight; f != nil {
			boarded[f] = true
		} else if !slices.Contains(fresh, q.Server) {
			fresh = append(fresh, q.Server)
		}
	}
	slices.Sort(fresh)
	for servers := range slices.Chunk(fresh, maxAsked) {
		boarded[i.launch(servers, open)] = true
	}
	for f := range boarded {
		f.waiting++
	}
	i.ring.mu.Unlock()
	for f := range boarded {
		i.ring.await(ctx, f)
	}
}

// launch begins one request about some servers. The caller holds the ring's mutex.
func (i *inquiry) launch(servers []ident.ServerName, open []Query) *flight {
	ctx, cancel := context.WithCancel(context.Background())
	f := &flight{cancel: cancel, done: make(chan struct{})}
	for _, server := range servers {
		i.told[server].flight = f
		f.records = append(f.records, i.told[server])
	}
	about := slices.DeleteFunc(slices.Clone(open), func(q Query) bool {
		_, ok := slices.BinarySearch(servers, q.Server)
		return !ok
	})
	go i.fly(ctx, f, servers, question(about))
	return f
}

// fly asks the notary and lands what it told in the records.
func (i *inquiry) fly(ctx context.Context, f *flight, servers []ident.ServerName, body []byte) {
	defer close(f.done)
	started := time.Now()
	t, err := i.hear(ctx, servers, body)
	var notaryKeys map[ident.KeyID]ed25519.PublicKey
	if err == nil {
		notaryKeys = i.notaryKeys(ctx, t)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return // all callers have left; this says nothing about the notary
	}
	for _, rec := range f.records {
		event := i.land(rec, t, notaryKeys, err)
		event.Took = time.Since(started)
		i.ring.trace.Emit(event)
	}
	i.ring.mu.Lock()
	defer i.ring.mu.Unlock()
	f.release()
}

// hear puts the question until there is an answer, or no use in asking again.
func (i *inquiry) hear(ctx context.Context, servers []ident.ServerName, body []byte) (testimony, error) {
	pause := inquiryPause
	for attempt := 1; ; attempt++ {
		raw, err := i.put(ctx, body)
		if err == nil {
			return readTestimony(i.notary, raw, servers)
		}
		if attempt == i.attempts {
			return testimony{}, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return testimony{}, ctx.Err()
		}
		pause *= 2
	}
}

func (i *inquiry) put(ctx context.Context, body []byte) ([]byte, error) {
	if !i.ring.known.take(ctx) { // whom we ask is chosen by ourselves
		return nil, ctx.Err()
	}
	defer i.ring.known.give()
	ctx, cancel := context.WithTimeout(ctx, i.ring.timeout+inquiryWay)
	defer cancel()
	return i.ring.fetch.QueryKeys(ctx, i.notary, body)
}

// notaryKeys is the notary's current keys, from itself: as it publishes them or, if that request fails, from its reply.
func (i *inquiry) notaryKeys(ctx context.Context, t testimony) map[ident.KeyID]ed25519.PublicKey {
	if i.pinned != nil {
		return i.pinned
	}
	ids := t.signers()
	queries := make([]Query, len(ids))
	for n, id := range ids {
		queries[n] = Query{Server: i.notary, KeyID: id, Use: ForRequest}
	}
	public := make(map[ident.KeyID]ed25519.PublicKey, len(ids))
	for q, key := range i.ring.direct(ctx, queries) {
		public[q.KeyID] = key
	}
	if len(public) == 0 {
		return t.ownKeys(time.Now().UnixMilli())
	}
	return public
}

// land takes over what the notary told about one server. What the server itself has told meanwhile makes it void.
func (i *inquiry) land(rec *record, t testimony, notaryKeys map[ident.KeyID]ed25519.PublicKey, err error) trace.KeysFetched {
	r, direct := i.ring, i.direct[rec.server]
	event := trace.KeysFetched{Server: string(rec.server), Notary: string(i.notary)}
	r.mu.Lock()
	known := direct.history
	r.mu.Unlock()
	now := time.Now()
	var docs []*Document
	if err == nil {
		docs, err = t.of(rec.server, notaryKeys, known, now.UnixMilli())
	}
	if len(docs) == 0 && err == nil {
		err = errSilentNotary
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		event.Error = err.Error()
	}
	if len(docs) == 0 {
		rec.failures++
	} else {
		rec.failures = 0
		if basis := known.newestAt(); rec.basis != basis {
			rec.basis, rec.history = basis, nil
		}
		for _, doc := range docs {
			var changed bool
			rec.history, changed = rec.history.add(doc)
			r.witness(i.notary, doc)
			event.Changed = event.Changed || changed
		}
		event.Keys, event.ValidUntil = len(rec.history[0].Current), rec.history[0].Validity()
		r.told.settle(rec)
	}
	rec.nextAsk = now.Add(coolDown(rec.failures))
	event.RetryAt = rec.nextAsk
	return event
}

// Hear asks a notary, or the server itself, for the server's documents and checks them: for whoever compares what several say.
// Nothing of it is used for anything else, but it is kept who said what. The error says why there is none, or what is wrong with
// others.
func (r *Ring) Hear(ctx context.Context, notary, server ident.ServerName) ([]*Document, error) {
	docs, err := r.hear(ctx, notary, server)
	r.mu.Lock()
	for _, doc := range docs {
		source := notary
		if notary == server {
			source = ""
		}
		r.witness(source, doc)
	}
	r.mu.Unlock()
	r.save(ctx)
	return docs, err
}

func (r *Ring) hear(ctx context.Context, notary, server ident.ServerName) ([]*Document, error) {
	if notary == server {
		doc, _, err := r.ask(ctx, server)
		if err != nil {
			return nil, err
		}
		return []*Document{doc}, nil
	}
	i := inquiry{ring: r, notary: notary, attempts: 1}
	for _, trusted := range r.trusted {
		if trusted.Server == notary {
			i.pinned = trusted.Keys
		}
	}
	asked := []ident.ServerName{server}
	t, err := i.hear(ctx, asked, append(append([]byte(`{"server_keys":{`), canonicaljson.AppendString(nil, string(server))...), ":{}}}"...))
	if err != nil {
		return nil, err
	}
	docs, err := t.of(server, i.notaryKeys(ctx, t), nil, time.Now().UnixMilli())
	if len(docs) == 0 && err == nil {
		err = errSilentNotary
	}
	return docs, err
}
