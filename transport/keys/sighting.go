// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// witness notes who said what of a server's keys, and when: the server itself, or a notary. It decides nothing; it is what an
// operator looks at when two disagree. The caller holds mu.
func (r *Ring) witness(source ident.ServerName, doc *Document) {
	note := func(id ident.KeyID, public []byte, expired int64) {
		r.unseen = append(r.unseen, persistence.KeySighting{
			Server: doc.Server, KeyID: id, Source: source, Public: public, ExpiredAt: expired,
			ValidUntil: doc.ValidUntil, FirstSeen: doc.FetchedAt, LastSeen: doc.FetchedAt,
		})
	}
	for id, public := range doc.Current {
		note(id, public, 0)
	}
	for id, old := range doc.Old {
		note(id, old.Public, old.ExpiredAt)
	}
	r.unseen = newest(r.unseen)
}
