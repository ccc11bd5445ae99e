// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"slices"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Archive is the keys that documents hold. Unlike a Ring it asks nobody, so that what is not in it is not known.
type Archive map[ident.ServerName]history

// NewArchive reads documents of any servers, in any order. What cannot be read is left out.
func NewArchive(documents []persistence.KeyDocument) Archive {
	documents = slices.Clone(documents)
	slices.SortStableFunc(documents, func(a, b persistence.KeyDocument) int { return cmp.Compare(b.FetchedAt, a.FetchedAt) })
	byServer := map[ident.ServerName][]persistence.KeyDocument{}
	for _, d := range documents {
		byServer[d.Server] = append(byServer[d.Server], d)
	}
	archive := Archive{}
	for server, list := range byServer {
		archive[server] = readHistory(list)
	}
	return archive
}

// Keys finds the keys that may be used as the queries ask, by the rules of a Ring.
func (a Archive) Keys(_ context.Context, queries []Query) map[Query]ed25519.PublicKey {
	found, now := map[Query]ed25519.PublicKey{}, time.Now().UnixMilli()
	for _, q := range queries {
		if public, verdict := a[q.Server].judge(q, now); verdict == usable {
			found[q] = public
		}
	}
	return found
}
