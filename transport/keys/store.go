// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"context"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// maxLoad bounds the servers that one read of the store asks for, so that the read stays short: about 2 ms.
const maxLoad = 100

// kept is a document to be written, and when the older ones that stay beside it were fetched.
type kept struct {
	document persistence.KeyDocument
	keep     []int64
}

// documents is what the ring wants of the store.
type documents interface {
	// load gives the documents of each server that has any, the newest first.
	load(ctx context.Context, servers []ident.ServerName) (map[ident.ServerName][]persistence.KeyDocument, error)
	// save writes all documents, and what was seen, in one job.
	save(ctx context.Context, docs []kept, seen []persistence.KeySighting) error
}

// stored is documents in the store.
type stored struct{ store *persistence.Store }

func (s stored) load(ctx context.Context, servers []ident.ServerName) (map[ident.ServerName][]persistence.KeyDocument, error) {
	found := make(map[ident.ServerName][]persistence.KeyDocument)
	err := s.store.View(ctx, func(tx *persistence.Tx) error {
		for _, server := range servers {
			docs, err := tx.KeyDocuments(server)
			if err != nil {
				return err
			}
			if len(docs) > 0 {
				found[server] = docs
			}
		}
		return nil
	})
	return found, err
}

func (s stored) save(ctx context.Context, docs []kept, seen []persistence.KeySighting) error {
	return s.store.Update(ctx, func(tx *persistence.Tx) error {
		for _, d := range docs {
			if err := tx.SaveKeyDocument(d.document, d.keep); err != nil {
				return err
			}
		}
		for _, sighting := range seen {
			if err := tx.SaveKeySighting(sighting); err != nil {
				return err
			}
		}
		return nil
	})
}

// forgetful is documents without a store.
type forgetful struct{}

func (forgetful) load(context.Context, []ident.ServerName) (map[ident.ServerName][]persistence.KeyDocument, error) {
	return nil, nil
}

func (forgetful) save(context.Context, []kept, []persistence.KeySighting) error { return nil }
