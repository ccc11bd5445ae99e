// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// KeyHistory is what is known of a server's keys, and from whom.
type KeyHistory struct {
	Server    string        `json:"server"`
	Said      []KeySaid     `json:"said"`
	Documents []KeyDocument `json:"documents"`
	// Conflicts are ids under which different keys were seen: somebody lied, or the server was set up anew with an old id.
	Conflicts []string `json:"conflicts"`
}

// KeySaid is one thing that was said of a key, first and last when.
type KeySaid struct {
	KeyID      string `json:"key_id"`
	Source     string `json:"source"` // the server itself, or a notary
	Public     string `json:"public_key"`
	ExpiredTS  int64  `json:"expired_ts,omitempty"` // 0: current
	ValidUntil int64  `json:"valid_until_ts"`       // of the last document that said so
	FirstSeen  int64  `json:"first_seen_ts"`
	LastSeen   int64  `json:"last_seen_ts"`
}

// KeyDocument is a document that is kept: what signatures are checked by, and what we hand on as a notary.
type KeyDocument struct {
	FetchedTS int64           `json:"fetched_ts"`
	Document  json.RawMessage `json:"document"`
}

// Keys tells what is known of a server's keys.
func (i *Inspector) Keys(ctx context.Context, server string) (KeyHistory, error) {
	name, err := ident.ParseServerName(server)
	if err != nil {
		return KeyHistory{}, badQuery{err}
	}
	h := KeyHistory{Server: server, Said: []KeySaid{}, Documents: []KeyDocument{}, Conflicts: []string{}}
	err = i.view(ctx, func(tx *persistence.Tx) error {
		seen, err := tx.KeySightings(name)
		if err != nil {
			return err
		}
		docs, err := tx.KeyDocuments(name)
		for _, d := range docs {
			h.Documents = append(h.Documents, KeyDocument{d.FetchedAt, d.Document})
		}
		h.add(seen)
		return err
	})
	if err == nil && len(h.Said) == 0 && len(h.Documents) == 0 {
		err = fmt.Errorf("%w: nothing is known of the keys of %s; strata keys fetch asks it", ErrNotFound, server)
	}
	return h, err
}

// add takes over sightings, which come ordered by key.
func (h *KeyHistory) add(seen []persistence.KeySighting) {
	for n, s := range seen {
		said := KeySaid{
			KeyID: string(s.KeyID), Source: string(s.Source), Public: signing.EncodeBase64(s.Public), ExpiredTS: s.ExpiredAt,
			ValidUntil: s.ValidUntil, FirstSeen: s.FirstSeen, LastSeen: s.LastSeen,
		}
		if said.Source == "" {
			said.Source = h.Server
		}
		isConflict := n > 0 && h.Said[n-1].KeyID == said.KeyID && h.Said[n-1].Public != said.Public
		if last := len(h.Conflicts) - 1; isConflict && (last < 0 || h.Conflicts[last] != said.KeyID) {
			h.Conflicts = append(h.Conflicts, said.KeyID)
		}
		h.Said = append(h.Said, said)
	}
}
