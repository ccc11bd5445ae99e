// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/strata-matrix/strata/persistence"
)

func openAnnexed(t *testing.T, dir string, annex persistence.Annex) (*persistence.Store, error) {
	t.Helper()
	return persistence.Open(context.Background(), persistence.Options{
		Path: filepath.Join(dir, "strata.db"), ServerName: "a.example", Annex: annex,
	})
}

func TestAnnex(t *testing.T) {
	ctx, dir := context.Background(), t.TempDir()
	first := persistence.Annex{Name: "hs", Steps: []string{`CREATE TABLE hs_notes (pos INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;
		CREATE INDEX hs_notes_text ON hs_notes (text);`}}
	store, err := openAnnexed(t, dir, first)
	if err != nil {
		t.Fatal(err)
	}
	var at persistence.Position
	err = store.Update(ctx, func(tx *persistence.Tx) (err error) {
		if at, err = tx.NextPosition(); err != nil {
			return err
		}
		n, err := tx.Exec(`INSERT INTO hs_notes (pos, text) VALUES (?, ?)`, at, "kept")
		if err == nil && n != 1 {
			t.Errorf("Exec changed %d rows, want 1", n)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	err = store.Update(ctx, func(tx *persistence.Tx) error {
		if _, err := tx.Exec(`UPDATE hs_notes SET text = 'lost'`); err != nil {
			return err
		}
		return refused
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}

	second := first
	second.Steps = append(second.Steps, `ALTER TABLE hs_notes ADD COLUMN author TEXT NOT NULL DEFAULT 'nobody'`)
	if store, err = openAnnexed(t, dir, second); err != nil {
		t.Fatal(err)
	}
	err = store.View(ctx, func(tx *persistence.Tx) error {
		var text, author string
		found, err := tx.QueryRow(`SELECT text, author FROM hs_notes WHERE pos = ?`, []any{at}, &text, &author)
		if !found || text != "kept" || author != "nobody" {
			t.Errorf("after the second step: %v %q %q, want the row, kept, nobody", found, text, author)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}

	if _, err := openAnnexed(t, dir, first); !errors.Is(err, persistence.ErrNewerSchema) {
		t.Errorf("opened by an older program: %v, want ErrNewerSchema", err)
	}
	strange := persistence.Annex{Name: "bot", Steps: []string{`CREATE TABLE notes (n INTEGER) STRICT`}}
	if _, err := openAnnexed(t, dir, strange); err == nil {
		t.Error("a table without the annex's name was created")
	}
}
