// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/persistence"
)

// A cursor survives, moves forward only, and is forgotten when it is dropped.
func TestCursors(t *testing.T) {
	options := persistence.Options{Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "a.example", NoSync: true}
	open := func() *persistence.Store {
		store, err := persistence.Open(t.Context(), options)
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	update := func(store *persistence.Store, f func(*persistence.Tx) error) {
		t.Helper()
		if err := store.Update(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	store := open()
	update(store, func(tx *persistence.Tx) error {
		for _, move := range []persistence.Subscription{{Name: "b", Position: 7}, {Name: "a", Position: 3}, {Name: "b", Position: 5}} {
			if err := tx.MoveCursor(move.Name, move.Position); err != nil {
				return err
			}
		}
		return nil
	})
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = open()
	defer store.Close()
	check := func(want []persistence.Subscription) {
		t.Helper()
		err := store.View(t.Context(), func(tx *persistence.Tx) error {
			got, err := tx.Subscriptions()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("cursors (-want +got):\n%s", diff)
			}
			if position, err := tx.Cursor("b"); err != nil || position != want[len(want)-1].Position {
				t.Errorf("cursor b = %d, %v", position, err)
			}
			if position, err := tx.Cursor("new"); err != nil || position != 0 {
				t.Errorf("new cursor = %d, %v, want 0", position, err)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	check([]persistence.Subscription{{Name: "a", Position: 3}, {Name: "b", Position: 7}})
	update(store, func(tx *persistence.Tx) error { return tx.DropSubscription("a") })
	check([]persistence.Subscription{{Name: "b", Position: 7}})
}
