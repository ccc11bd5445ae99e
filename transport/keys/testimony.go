// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

const (
	// maxAsked is how many servers one request to a notary names; more go in further requests.
	maxAsked = 100
	// MaxTestimony bounds a notary's reply, in bytes: 40 KiB for each server that was asked for, usually one.
	MaxTestimony = 4 << 20
	// maxNotaryKeys is how many different keys of a notary are looked at in its reply. It signs with one or two.
	maxNotaryKeys = 8
)

// ErrTestimony is wrapped by every error about what a notary replied.
var ErrTestimony = errors.New("bad testimony")

// question is the body of a request to a notary (E-05) for the keys that the queries want.
func question(queries []Query) []byte {
	type key struct {
		server ident.ServerName
		id     ident.KeyID
	}
	until := make(map[key]int64, len(queries))
	for _, q := range queries {
		at := int64(0) // validity counts for nothing in room versions 1 to 4
		if q.Use != ForOldEvent {
			at = q.At
		}
		k := key{q.Server, q.KeyID}
		until[k] = max(until[k], at)
	}
	wanted := make([]key, 0, len(until))
	for k := range until {
		wanted = append(wanted, k)
	}
	slices.SortFunc(wanted, func(a, b key) int { return cmp.Or(cmp.Compare(a.server, b.server), cmp.Compare(a.id, b.id)) })
	body := []byte(`{"server_keys":{`)
	for i, k := range wanted {
		switch {
		case i == 0 || wanted[i-1].server != k.server:
			if i > 0 {
				body = append(body, "},"...)
			}
			body = append(canonicaljson.AppendString(body, string(k.server)), ":{"...)
		default:
			body = append(body, ',')
		}
		body = append(canonicaljson.AppendString(body, string(k.id)), `:{"minimum_valid_until_ts":`...)
		body = append(strconv.AppendInt(body, until[k], 10), '}')
	}
	if len(wanted) > 0 {
		body = append(body, '}')
	}
	return append(body, "}}"...)
}

// testimony is the reply of a notary: documents of the servers that were asked for, by server, none of them verified yet.
type testimony struct {
	notary    ident.ServerName
	documents map[ident.ServerName][]canonicaljson.Value
}

// readTestimony leaves out documents of servers that were not asked for, and of one server those beyond maxHistory.
func readTestimony(notary ident.ServerName, raw []byte, asked []ident.ServerName) (testimony, error) {
	t := testimony{notary: notary, documents: make(map[ident.ServerName][]canonicaljson.Value)}
	if len(raw) > MaxTestimony {
		return t, fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrTestimony, len(raw), MaxTestimony)
	}
	root, err := canonicaljson.Parse(raw, canonicaljson.Lenient)
	if err != nil {
		return t, fmt.Errorf("%w: %w", ErrTestimony, err)
	}
	list := root.Get("server_keys")
	if list.Kind() != canonicaljson.Array {
		return t, fmt.Errorf("%w: server_keys is not an array", ErrTestimony)
	}
	for _, server := range asked {
		t.documents[server] = nil
	}
	for doc := range list.Elements() {
		name, _ := doc.Get("server_name").Text()
		server := ident.ServerName(name)
		if docs, ok := t.documents[server]; ok && len(docs) < maxHistory {
			t.documents[server] = append(docs, doc)
		}
	}
	return t, nil
}

// signers are the ids of the keys with which the notary signed.
func (t testimony) signers() (ids []ident.KeyID) {
	for _, docs := range t.documents {
		for _, doc := range docs {
			for name := range doc.Get("signatures").Get(string(t.notary)).Members() {
				id, err := ident.ParseKeyID(name)
				if err == nil && len(ids) < maxNotaryKeys && !slices.Contains(ids, id) {
					ids = append(ids, id)
				}
			}
		}
	}
	return ids
}

// ownKeys is the notary's current keys as its reply, which came over TLS from itself, has them; nil if they are not in it.
func (t testimony) ownKeys(now int64) map[ident.KeyID]ed25519.PublicKey {
	for _, value := range t.documents[t.notary] {
		if doc, err := ParseDocument(t.notary, value.Canonical(), now); err == nil && doc.Validity() >= now {
			return doc.Current
		}
	}
	return nil
}

// of is the good documents of a server, those that promise most last, and what is wrong with the others. A document must bear
// the signatures of the server itself and of the notary with one of its keys. The server's own documents have to
// vouch for it if there are any.
func (t testimony) of(server ident.ServerName, notaryKeys map[ident.KeyID]ed25519.PublicKey, direct history, now int64) ([]*Document, error) {
	var good []*Document
	var wrong error
	for _, value := range t.documents[server] {
		raw := value.Canonical()
		doc, err := ParseDocument(server, raw, now)
		if err == nil && !signedByAny(raw, t.notary, notaryKeys) {
			err = fmt.Errorf("not signed by a known key of %s", t.notary)
		}
		if err == nil && len(direct) > 0 && !direct.vouches(doc, raw) {
			err = errors.New("the document that the server gave us itself does not vouch for it")
		}
		if err != nil {
			wrong = fmt.Errorf("%w: %w", ErrTestimony, err)
			continue
		}
		good = append(good, doc)
	}
	slices.SortStableFunc(good, func(a, b *Document) int { return cmp.Compare(a.ValidUntil, b.ValidUntil) })
	return good, wrong
}

func signedByAny(raw []byte, server ident.ServerName, public map[ident.KeyID]ed25519.PublicKey) bool {
	for id, key := range public {
		if signing.VerifyJSON(raw, server, id, key) == nil {
			return true
		}
	}
	return false
}

// vouches reports whether a document that came through a notary is the server's own word: a key that the server itself told us
// is current has signed it, and it gives no other key to an id that we know.
func (h history) vouches(doc *Document, raw []byte) bool {
	for id, public := range doc.Current {
		if known := h.public(id); known != nil && !bytes.Equal(known, public) {
			return false
		}
	}
	for id, old := range doc.Old {
		if known := h.public(id); known != nil && !bytes.Equal(known, old.Public) {
			return false
		}
	}
	return signedByAny(raw, doc.Server, h[0].Current)
}

// public is the key that the newest document has under the id, nil if none lists it.
func (h history) public(id ident.KeyID) ed25519.PublicKey {
	doc := h.newest(id)
	if doc == nil {
		return nil
	}
	if old, ok := doc.Old[id]; ok {
		return old.Public
	}
	return doc.Current[id]
}

// newestAt is when the newest document was fetched (ms), 0 without one.
func (h history) newestAt() int64 {
	if len(h) == 0 {
		return 0
	}
	return h[0].FetchedAt
}

// judgeTold answers a query from the server's own documents and, where these leave it open, from what a notary told. The notary's
// word counts for events only, unless it is trusted, and only as long as the server itself has told nothing since: basis is what
// there was of it then.
func judgeTold(direct, told history, basis int64, q Query, now int64, trusted bool) (ed25519.PublicKey, verdict) {
	public, v := direct.judge(q, now)
	if v != outdated || q.Use == ForRequest && !trusted || basis != direct.newestAt() {
		return public, v
	}
	return told.judge(q, now)
}
