// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"crypto/ed25519"
	"maps"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// A published document is valid for a day and is made anew after half of it, so that whoever fetches it may keep it for at
// least twelve hours (X-55 asks for one) and gets the same bytes meanwhile.
const (
	publishedValidity = 24 * time.Hour
	publishedRenewal  = publishedValidity / 2
)

// identity is our own keys. Any number of goroutines may use it.
type identity struct {
	server ident.ServerName
	key    signing.Key
	old    map[ident.KeyID]OldKey
	latest atomic.Pointer[publication] // two that make one at the same time make the same or nearly so
}

type publication struct {
	made     time.Time
	document []byte
}

func newIdentity(server ident.ServerName, key signing.Key, old []OldKey) *identity {
	own := &identity{server: server, key: key, old: make(map[ident.KeyID]OldKey, len(old))}
	for _, k := range old {
		own.old[k.ID] = k
	}
	return own
}

// public answers a query about ourselves. Our own current key counts without end.
func (own *identity) public(q Query) (ed25519.PublicKey, bool) {
	if q.KeyID == own.key.ID {
		return own.key.Public(), true
	}
	old, ok := own.old[q.KeyID]
	if !ok || q.Use == ForRequest || q.At > old.ExpiredAt {
		return nil, false
	}
	return old.Public, true
}

// published is the document to serve at now.
func (own *identity) published(now time.Time) []byte {
	p := own.latest.Load()
	if p == nil || now.Before(p.made) || now.Sub(p.made) >= publishedRenewal {
		p = &publication{made: now, document: own.document(now.Add(publishedValidity).UnixMilli())}
		own.latest.Store(p)
	}
	return p.document
}

// document writes our key document in canonical form: the members in order, the signature over the rest.
func (own *identity) document(validUntil int64) []byte {
	old := []byte(`{`)
	for i, id := range slices.Sorted(maps.Keys(own.old)) {
		if i > 0 {
			old = append(old, ',')
		}
		k := own.old[id]
		old = canonicaljson.AppendString(old, string(id))
		old = append(old, `:{"expired_ts":`+strconv.FormatInt(k.ExpiredAt, 10)+`,"key":"`+signing.EncodeBase64(k.Public)+`"}`...)
	}
	old = append(old, '}')
	name := string(canonicaljson.AppendString(nil, string(own.server)))
	id := string(canonicaljson.AppendString(nil, string(own.key.ID)))
	head := `{"old_verify_keys":` + string(old) + `,"server_name":` + name
	tail := `,"valid_until_ts":` + strconv.FormatInt(validUntil, 10) +
		`,"verify_keys":{` + id + `:{"key":"` + signing.EncodeBase64(own.key.Public()) + `"}}}`
	signature := signing.EncodeBase64(ed25519.Sign(own.key.Private, []byte(head+tail)))
	return []byte(head + `,"signatures":{` + name + `:{` + id + `:"` + signature + `"}}` + tail)
}
