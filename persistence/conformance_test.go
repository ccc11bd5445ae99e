// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/persistence/storetest"
)

// scratchStore shows the SQLite store to the conformance suite.
type scratchStore struct{ *persistence.Store }

func (s scratchStore) Update(ctx context.Context, f func(storetest.Tx) error) error {
	return s.Store.Update(ctx, func(tx *persistence.Tx) error { return f(tx) })
}

func (s scratchStore) View(ctx context.Context, f func(storetest.Tx) error) error {
	return s.Store.View(ctx, func(tx *persistence.Tx) error { return f(tx) })
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string, crash func(persistence.Point) error) storetest.Store {
		t.Helper()
		store, err := persistence.OpenScratch(context.Background(), persistence.Options{
			Path: filepath.Join(dir, "strata.db"), ServerName: "a.example", CommitPoint: crash,
		})
		if err != nil {
			t.Fatal(err)
		}
		return scratchStore{store}
	})
}
