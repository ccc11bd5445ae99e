// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"context"
	"slices"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// What one request to us as a notary can cost. Whoever asks need not say who it is.
const (
	// MaxAttested is how many servers are answered for; the others are left out, and can be asked for again.
	MaxAttested = 128
	// MaxAttestedKeys is how many keys of one server a request can ask for by name.
	MaxAttestedKeys = maxKeys
	// maxFetchesForOthers are under way at a time for all who ask, so that they cannot take the fetches that we need. Each of them
	// has half at most, maxPerPayer.
	maxFetchesForOthers = 32
)

// Ask is what a notary is asked about one server.
type Ask struct {
	Server ident.ServerName
	KeyIDs []ident.KeyID // none: all keys of the server
	// ValidUntil is the time up to which the keys should be valid, minimum_valid_until_ts in ms; 0 is now.
	ValidUntil int64
}

// Attest is our service as a notary: the key documents of the servers, as these gave them to us and with our signature beside
// theirs, and our own. A server is asked anew when what we have of it is past half its life, or is not what is wanted;
// if it does not answer, it is the last good documents that are given. Of a server about which we know nothing there is
// none. What notaries told us is not passed on. The work ends when ctx does, with what there is.
func (r *Ring) Attest(ctx context.Context, asks []Ask) [][]byte {
	asks = asks[:min(len(asks), MaxAttested)]
	now := time.Now()
	var documents [][]byte
	byServer := make(map[ident.ServerName]Ask, len(asks))
	var queries []Query
	for _, a := range asks {
		if a.Server == r.own.server {
			documents = append(documents, r.own.Published(now))
			continue
		}
		byServer[a.Server] = a
		queries = append(queries, Query{Server: a.Server})
	}
	if len(byServer) == 0 {
		return documents
	}
	r.refresh(ctx, byServer, r.records(queries), now)
	return r.sign(ctx, documents, byServer)
}

// refresh asks the servers of which we do not have what is wanted.
func (r *Ring) refresh(ctx context.Context, asks map[ident.ServerName]Ask, records map[ident.ServerName]*record, now time.Time) {
	r.load(ctx, records)
	var stale []*record
	r.mu.Lock()
	for server, rec := range records {
		if rec.loaded && !rec.history.satisfies(asks[server], now.UnixMilli()) && (rec.flight != nil || !now.Before(rec.nextAsk)) {
			stale = append(stale, rec)
		}
	}
	r.mu.Unlock()
	if len(stale) == 0 {
		return
	}
	short, cancel := context.WithTimeout(ctx, r.timeout) // the longest that who asks waits
	defer cancel()
	payer, done := r.payers.open(ctx)
	defer done()
	r.fetchAll(short, stale, payer, r.others)
	r.save(ctx)
}

// satisfies reports whether the documents are all that the server could be asked for at now (ms): what is wanted, and not past
// half the time from being fetched to the end of their validity.
func (h history) satisfies(a Ask, now int64) bool {
	if len(h) == 0 {
		return false
	}
	if h.halfGone(now) || h[0].Validity() < a.ValidUntil {
		return false
	}
	return !slices.ContainsFunc(a.KeyIDs, func(id ident.KeyID) bool { return h.newest(id) == nil })
}

// halfGone reports whether half the time has passed from when the newest document was fetched to the end of its validity.
func (h history) halfGone(now int64) bool {
	return now > h[0].FetchedAt+(h[0].Validity()-h[0].FetchedAt)/2
}

// sign adds the documents that are stored, up to MaxTestimony bytes in all.
func (r *Ring) sign(ctx context.Context, documents [][]byte, asks map[ident.ServerName]Ask) [][]byte {
	servers := make([]ident.ServerName, 0, len(asks))
	for server := range asks {
		servers = append(servers, server)
	}
	slices.Sort(servers)
	size := 0
	for chunk := range slices.Chunk(servers, maxLoad) {
		stored, err := r.documents.load(ctx, chunk)
		if err != nil {
			r.noteStore(err)
			return documents
		}
		for _, server := range chunk {
			for _, doc := range wanted(stored[server], asks[server]) {
				signed, err := signing.SignJSON(doc, r.own.server, r.own.SigningKey())
				if err != nil {
					continue // it has something else where our signature goes
				}
				if size += len(signed) + 1; size > MaxTestimony-maxDocument {
					return documents
				}
				documents = append(documents, signed)
			}
		}
	}
	return documents
}

// wanted is of a server's documents the newest, and of the older ones those with keys that are asked for.
func wanted(stored []persistence.KeyDocument, a Ask) (documents [][]byte) {
	for i, s := range stored {
		doc, err := ReadDocument(s.Server, s.Document, s.FetchedAt)
		if err == nil && (i == 0 || len(a.KeyIDs) == 0 || slices.ContainsFunc(a.KeyIDs, doc.lists)) {
			documents = append(documents, s.Document)
		}
	}
	return documents
}
