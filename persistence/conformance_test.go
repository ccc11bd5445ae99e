// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/persistence/storetest"
	"github.com/strata-matrix/strata/transport/ident"
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

func TestTimeline(t *testing.T) {
	storetest.RunTimeline(t, func(t *testing.T) func(func(storetest.Events) error) {
		t.Helper()
		store, err := persistence.Open(context.Background(), persistence.Options{
			Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "a.example",
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		do := func(job func(*persistence.Tx) error) {
			t.Helper()
			if err := store.Update(context.Background(), job); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []ident.RoomID{"!1:a.example", "!2:a.example"} {
			do(func(tx *persistence.Tx) error {
				_, err := tx.PutRoom(persistence.Room{ID: id, Version: "10"})
				return err
			})
		}
		return func(job func(storetest.Events) error) {
			t.Helper()
			do(func(tx *persistence.Tx) error { return job(tx) })
		}
	})
}

func TestHistory(t *testing.T) {
	do := func(t *testing.T) func(job func(*persistence.Tx) error) {
		t.Helper()
		store, err := persistence.Open(context.Background(), persistence.Options{
			Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "a.example",
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		return func(job func(*persistence.Tx) error) {
			t.Helper()
			if err := store.Update(context.Background(), job); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("gaps", func(t *testing.T) {
		run := do(t)
		storetest.RunGaps(t, func(job func(storetest.Gaps) error) { run(func(tx *persistence.Tx) error { return job(tx) }) })
	})
	t.Run("copies", func(t *testing.T) {
		run := do(t)
		storetest.RunCopies(t, func(job func(storetest.Copies) error) { run(func(tx *persistence.Tx) error { return job(tx) }) })
	})
	t.Run("backfills", func(t *testing.T) {
		run := do(t)
		storetest.RunBackfills(t, func(job func(storetest.Backfills) error) { run(func(tx *persistence.Tx) error { return job(tx) }) })
	})
}
