// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"crypto/ed25519"
	"time"

	"github.com/strata-matrix/strata/transport/ident"
)

// maxHistory bounds the documents kept for one server; a server that changes its keys for every request loses the oldest.
const maxHistory = 8

// Use says what a key is to verify; the rules differ.
type Use int

const (
	// ForRequest is an X-Matrix signature: only keys that are current now, which Query.At says to notaries only.
	ForRequest Use = iota
	// ForEvent is an event of room version 5 or later: the key must be valid at the event's time.
	ForEvent
	// ForOldEvent is an event of room versions 1 to 4: valid_until_ts is ignored, the expiry of old keys is not.
	ForOldEvent
)

// Query asks for one key of a server.
type Query struct {
	Server ident.ServerName
	KeyID  ident.KeyID
	At     int64 // ms: the origin_server_ts of the event
	Use    Use
}

// verdict is what is known about a query.
type verdict int

const (
	refused  verdict = iota // the key must not be used, and asking the server cannot change that
	outdated                // what is known does not allow it; a newer document may
	usable
)

// history is the documents of one server, the newest first. It does not change; add makes a new one.
type history []*Document

// judge answers a query from what is known at now (ms).
func (h history) judge(q Query, now int64) (ed25519.PublicKey, verdict) {
	if q.Use == ForRequest {
		return h.judgeRequest(q.KeyID, now)
	}
	if doc := h.newest(q.KeyID); doc != nil {
		if old, ok := doc.Old[q.KeyID]; ok {
			if q.At <= old.ExpiredAt {
				return old.Public, usable
			}
			return nil, refused
		}
		if q.Use == ForOldEvent || q.At <= doc.Validity() {
			return doc.Current[q.KeyID], usable
		}
	}
	if q.Use == ForEvent && q.At > now+MaxValidity.Milliseconds() {
		return nil, refused // no document can be valid that long
	}
	return nil, outdated
}

func (h history) judgeRequest(id ident.KeyID, now int64) (ed25519.PublicKey, verdict) {
	if len(h) == 0 || h[0].Validity() < now {
		return nil, outdated
	}
	if public, ok := h[0].Current[id]; ok {
		return public, usable
	}
	if _, ok := h[0].Old[id]; ok {
		return nil, refused
	}
	return nil, outdated // it may be newer than the document
}

// newest is the newest document that lists the key, nil if none does.
func (h history) newest(id ident.KeyID) *Document {
	for _, doc := range h {
		if doc.lists(id) {
			return doc
		}
	}
	return nil
}

// add takes over a document received at its FetchedAt. It returns h itself, and false, when there is nothing new to keep: the
// document is older than the newest one at hand (G-K6) or says and promises the same (G-K4).
func (h history) add(doc *Document) (history, bool) {
	if len(h) > 0 && (h[0].supersedes(doc) || h[0].equal(doc)) {
		return h, false
	}
	kept := history{doc}
	for _, old := range h {
		if len(kept) < maxHistory && kept.lacks(old) {
			kept = append(kept, old)
		}
	}
	return kept, true
}

// supersedes reports whether doc, though received later, was made before d: it promises less and knows no key that d does not.
// A server that was set up anew has a new key, so its document is taken however little it promises. Once d has run out it
// supersedes nothing.
func (d *Document) supersedes(doc *Document) bool {
	if doc.ValidUntil >= d.ValidUntil || d.Validity() < doc.FetchedAt {
		return false
	}
	for id := range doc.Current {
		if !d.lists(id) {
			return false
		}
	}
	return true
}

// equal compares what judge looks at.
func (d *Document) equal(doc *Document) bool {
	if d.Validity() != doc.Validity() || len(d.Current) != len(doc.Current) || len(d.Old) != len(doc.Old) {
		return false
	}
	for id, public := range d.Current {
		if !public.Equal(doc.Current[id]) {
			return false
		}
	}
	for id, old := range d.Old {
		other := doc.Old[id]
		if !old.Public.Equal(other.Public) || old.ExpiredAt != other.ExpiredAt {
			return false
		}
	}
	return true
}

// lacks reports whether the document holds a key that none of h mentions.
func (h history) lacks(doc *Document) bool {
	for id := range doc.Current {
		if h.newest(id) == nil {
			return true
		}
	}
	for id := range doc.Old {
		if h.newest(id) == nil {
			return true
		}
	}
	return false
}

func (d *Document) lists(id ident.KeyID) bool {
	_, current := d.Current[id]
	_, old := d.Old[id]
	return current || old
}

// size is the number of keys held, the measure of what a history costs in memory.
func (h history) size() int {
	n := 0
	for _, doc := range h {
		n += len(doc.Current) + len(doc.Old)
	}
	return n
}

// A server is not asked again for its keys before these have passed (X-55: "limit how often you query"). The wait after a
// failure doubles with each; it stays short, because the fault may be in our own network and events wait for the keys.
const (
	afterSuccess    = time.Minute
	afterFailure    = 10 * time.Second
	maxAfterFailure = 10 * time.Minute
)

// coolDown is the wait after so many failures in a row; 0 is a success.
func coolDown(failures int) time.Duration {
	if failures == 0 {
		return afterSuccess
	}
	wait := afterFailure
	for range failures - 1 {
		if wait *= 2; wait >= maxAfterFailure {
			return maxAfterFailure
		}
	}
	return wait
}
