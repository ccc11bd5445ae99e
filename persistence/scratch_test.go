// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"fmt"
	"slices"
)

// scratchSchema is a migration that only tests have, after the released ones.
const scratchSchema = "CREATE TABLE scratch (key TEXT PRIMARY KEY, value INTEGER NOT NULL, padding BLOB) STRICT"

// OpenScratch is Open with the scratch table.
func OpenScratch(ctx context.Context, options Options) (*Store, error) {
	return open(ctx, options, append(slices.Clone(migrations), []string{scratchSchema}))
}

// Put sets a number in the scratch table.
func (tx *Tx) Put(key string, value int64) error {
	return tx.exec("INSERT INTO scratch (key, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", key, value)
}

// PutPadded is Put of a row of some size.
func (tx *Tx) PutPadded(key string, value int64, padding []byte) error {
	return tx.exec("INSERT INTO scratch (key, value, padding) VALUES (?, ?, ?)", key, value, padding)
}

// Get reads a number of the scratch table.
func (tx *Tx) Get(key string) (value int64, found bool, err error) {
	found, err = tx.queryRow("SELECT value FROM scratch WHERE key = ?", []any{key}, &value)
	return value, found, err
}

// All reads the scratch table.
func (tx *Tx) All() (map[string]int64, error) {
	all := map[string]int64{}
	err := tx.query("SELECT key, value FROM scratch", nil, func(row rowScanner) error {
		var key string
		var value int64
		if err := row.Scan(&key, &value); err != nil {
			return err
		}
		all[key] = value
		return nil
	})
	return all, err
}

// LimitPages makes the file full at so many pages; 0 takes the limit away.
func (tx *Tx) LimitPages(n int64) error {
	if n == 0 {
		n = 1 << 30
	}
	var now int64
	_, err := tx.queryRow(fmt.Sprintf("PRAGMA max_page_count = %d", n), nil, &now)
	return err
}

// Pages is how many pages the file has.
func (tx *Tx) Pages() (n int64, err error) {
	_, err = tx.queryRow("PRAGMA page_count", nil, &n)
	return n, err
}
