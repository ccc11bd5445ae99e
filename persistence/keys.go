// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/transport/ident"
)

// Key documents of other servers are kept as they were received and signed. A server has one row for its newest document, and one
// for each older document that holds a key which no newer one mentions: old events are signed with it.
const keysSchema = `
CREATE TABLE key_documents (
	server     TEXT    NOT NULL,
	fetched_at INTEGER NOT NULL, -- ms
	document   BLOB    NOT NULL, -- JSON, its signature verified
	PRIMARY KEY (server, fetched_at)
);`

// KeyDocument is a server's key document as received at FetchedAt (ms).
type KeyDocument struct {
	Server    ident.ServerName
	FetchedAt int64
	Document  []byte
}

// KeyDocuments gives the documents kept for a server, the newest first; none is not an error.
func (tx *Tx) KeyDocuments(server ident.ServerName) ([]KeyDocument, error) {
	const query = `SELECT fetched_at, document FROM key_documents WHERE server = ? ORDER BY fetched_at DESC`
	var docs []KeyDocument
	err := tx.query(query, []any{string(server)}, func(row rowScanner) error {
		doc := KeyDocument{Server: server}
		if err := row.Scan(&doc.FetchedAt, &doc.Document); err != nil {
			return err
		}
		docs = append(docs, doc)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("key documents of %s: %w", server, err)
	}
	return docs, nil
}

// SaveKeyDocument keeps a document, and of the server's others only those whose FetchedAt is in keep.
func (tx *Tx) SaveKeyDocument(doc KeyDocument, keep []int64) error {
	kept, err := tx.KeyDocuments(doc.Server)
	if err != nil {
		return err
	}
	for _, old := range kept {
		if slices.Contains(keep, old.FetchedAt) {
			continue
		}
		const remove = `DELETE FROM key_documents WHERE server = ? AND fetched_at = ?`
		if err := tx.exec(remove, string(doc.Server), old.FetchedAt); err != nil {
			return fmt.Errorf("drop key document of %s: %w", doc.Server, err)
		}
	}
	const insert = `INSERT OR REPLACE INTO key_documents (server, fetched_at, document) VALUES (?, ?, ?)`
	if err := tx.exec(insert, string(doc.Server), doc.FetchedAt, doc.Document); err != nil {
		return fmt.Errorf("keep key document of %s: %w", doc.Server, err)
	}
	return nil
}
