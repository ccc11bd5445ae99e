// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newStore opens a store with the scratch table, to be closed by the test's end.
func newStore(t testing.TB, options Options) *Store {
	t.Helper()
	if options.Path == "" {
		options.Path = filepath.Join(t.TempDir(), "strata.db")
	}
	if options.ServerName == "" && !options.ReadOnly {
		options.ServerName = "a.example"
	}
	s, err := OpenScratch(context.Background(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func update(t testing.TB, s *Store, f func(*Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

// readAll is the scratch table and the last position, as a reader sees them.
func readAll(t testing.TB, s *Store) (all map[string]int64, last Position) {
	t.Helper()
	err := s.View(context.Background(), func(tx *Tx) (err error) {
		last = tx.LastPosition()
		all, err = tx.All()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, last
}

// runSQL writes a file with SQLite alone.
func runSQL(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	fresh := func(t *testing.T, path string) {
		s := newStore(t, Options{Path: path})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, path string)
		options Options
		want    error
	}{
		{"a SQLite file with tables of others", func(t *testing.T, path string) {
			runSQL(t, path, "CREATE TABLE t (x)")
		}, Options{}, ErrForeignFile},
		{"a SQLite file with another application id", func(t *testing.T, path string) {
			runSQL(t, path, "PRAGMA application_id = 252006673", "CREATE TABLE t (x)", "PRAGMA user_version = 1")
		}, Options{}, ErrForeignFile},
		{"a file that is not SQLite", func(t *testing.T, path string) {
			if err := os.WriteFile(path, []byte("The quick brown fox jumps over the lazy dog, and so on and on."), 0o600); err != nil {
				t.Fatal(err)
			}
		}, Options{}, ErrForeignFile},
		{"a file of a newer version", func(t *testing.T, path string) {
			fresh(t, path)
			runSQL(t, path, "PRAGMA user_version = 1000")
		}, Options{}, ErrNewerSchema},
		{"a file of a newer version, to read", func(t *testing.T, path string) {
			fresh(t, path)
			runSQL(t, path, "PRAGMA user_version = 1000")
		}, Options{ReadOnly: true}, ErrNewerSchema},
		{"a file of an older version, to read", func(t *testing.T, path string) {
			fresh(t, path)
			runSQL(t, path, "PRAGMA user_version = 1")
		}, Options{ReadOnly: true}, ErrOlderSchema},
		{"a file of another server", fresh, Options{ServerName: "b.example"}, ErrWrongServer},
		{"a file of another server, to read", fresh, Options{ServerName: "b.example", ReadOnly: true}, ErrWrongServer},
		{"an older file of another server", func(t *testing.T, path string) {
			s, err := Open(context.Background(), Options{Path: path, ServerName: "b.example"})
			if err == nil {
				err = s.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
		}, Options{}, ErrWrongServer},
		{"a file in use", func(t *testing.T, path string) { newStore(t, Options{Path: path}) }, Options{}, ErrInUse},
		{"a file in use, to read", func(t *testing.T, path string) { newStore(t, Options{Path: path}) }, Options{ReadOnly: true}, ErrInUse},
		{"a file in use by readers", func(t *testing.T, path string) {
			fresh(t, path)
			newStore(t, Options{Path: path, ReadOnly: true})
			newStore(t, Options{Path: path, ReadOnly: true})
		}, Options{}, ErrInUse},
		{"a file that is not there, to read", func(*testing.T, string) {}, Options{ReadOnly: true}, fs.ErrNotExist},
		{"an empty file, to read", func(t *testing.T, path string) {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, Options{ReadOnly: true}, ErrForeignFile},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "strata.db")
			test.prepare(t, path)
			before := fileSum(t, path)
			test.options.Path = path
			if test.options.ServerName == "" && !test.options.ReadOnly {
				test.options.ServerName = "a.example"
			}
			s, err := OpenScratch(context.Background(), test.options)
			if err == nil {
				_ = s.Close()
			}
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if after := fileSum(t, path); after != before {
				t.Error("the refused file was changed")
			}
		})
	}
}

func TestOpenNeedsPathAndName(t *testing.T) {
	dir := t.TempDir()
	for _, options := range []Options{
		{ServerName: "a.example"},
		{Path: filepath.Join(dir, "a.db")},
		{Path: filepath.Join(dir, "none", "a.db"), ServerName: "a.example"},
		{Path: dir, ServerName: "a.example"},
	} {
		if s, err := Open(context.Background(), options); err == nil {
			_ = s.Close()
			t.Errorf("Open(%+v): no error", options)
		}
	}
}

// fileSum is the hash of a file's contents, of nothing when it does not exist.
func fileSum(t *testing.T, path string) [32]byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return sha256.Sum256(data)
}

// One file has one lock, whatever the path says.
func TestOpenThroughLink(t *testing.T) {
	dir := t.TempDir()
	newStore(t, Options{Path: filepath.Join(dir, "strata.db")})
	if err := os.Symlink("strata.db", filepath.Join(dir, "link.db")); err != nil {
		t.Fatal(err)
	}
	_, err := OpenScratch(context.Background(), Options{Path: filepath.Join(dir, "link.db"), ServerName: "a.example"})
	if !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want ErrInUse", err)
	}
}

// SQLite's own lock keeps other programs out even when the lock file was removed.
func TestOpenWithoutLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.db")
	held := newStore(t, Options{Path: path})
	if err := os.Remove(path + lockSuffix); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.Exec("DROP TABLE scratch")
	if err := explain(err); !errors.Is(err, ErrInUse) {
		t.Errorf("another program's write: %v, want SQLITE_BUSY", err)
	}
	update(t, held, func(tx *Tx) error { return tx.Put("a", 1) })
}

func TestPathsThatLookLikeURLs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a?b=c%20#d &;é.db")
	s := newStore(t, Options{Path: path})
	update(t, s, func(tx *Tx) error { return tx.Put("a", 1) })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + lockSuffix} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
	if all, _ := readAll(t, newStore(t, Options{Path: path, ReadOnly: true})); all["a"] != 1 {
		t.Errorf("got %v", all)
	}
}

func TestPragmas(t *testing.T) {
	for _, test := range []struct {
		pragma string
		noSync bool
		want   string
	}{
		{"page_size", false, "8192"},
		{"journal_mode", false, "wal"},
		{"synchronous", false, "2"}, // FULL
		{"synchronous", true, "0"},  // OFF
		{"locking_mode", false, "exclusive"},
		{"temp_store", false, "2"}, // MEMORY
		{"wal_autocheckpoint", false, "4000"},
	} {
		s := newStore(t, Options{NoSync: test.noSync})
		var got any
		err := s.View(context.Background(), func(tx *Tx) error {
			_, err := tx.queryRow("PRAGMA "+test.pragma, nil, &got)
			return err
		})
		if err != nil || fmt.Sprint(got) != test.want {
			t.Errorf("%s (NoSync %t) = %v, %v; want %s", test.pragma, test.noSync, got, err, test.want)
		}
	}
}

// An old file is brought up to date, keeping what is in it; one step that fails leaves the file at its version.
func TestMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.db")
	ctx := context.Background()
	openAt := func(steps ...[]string) (*Store, error) {
		return open(ctx, Options{Path: path, ServerName: "a.example"}, append(slices.Clone(migrations), steps...))
	}
	second := []string{scratchSchema}
	third := []string{"ALTER TABLE scratch ADD COLUMN note TEXT", "UPDATE scratch SET note = 'from version 2'"}

	s, err := openAt(second)
	if err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx *Tx) error {
		_, err := tx.NextPosition()
		return errors.Join(err, tx.Put("a", 1))
	})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	if s, err := openAt(second, third, []string{"CREATE TABLE scratch (x)"}); err == nil {
		_ = s.Close()
		t.Fatal("a migration that fails: no error")
	}
	if s, err = openAt(second); err != nil {
		t.Fatalf("after a migration that failed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	if s, err = openAt(second, third); err != nil {
		t.Fatal(err)
	}
	var note string
	var position Position
	update(t, s, func(tx *Tx) error {
		position = tx.LastPosition()
		_, err := tx.queryRow("SELECT note FROM scratch WHERE key = 'a'", nil, &note)
		return err
	})
	if note != "from version 2" || position != 1 {
		t.Errorf("note %q, last position %d; want those of the old file", note, position)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openAt(second); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("the release before: %v, want ErrNewerSchema", err)
	}
}

// A process that dies while it creates the file leaves a header at most.
func TestCreationInterrupted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "strata.db")
	runSQL(t, path, "PRAGMA page_size = 8192", "PRAGMA journal_mode = WAL")
	s := newStore(t, Options{Path: path})
	update(t, s, func(tx *Tx) error { return tx.Put("a", 1) })
}

// The store's row is the only one in a new file: everything a migration makes is empty.
func TestNewFile(t *testing.T) {
	s := newStore(t, Options{})
	if s.ServerName() != "a.example" {
		t.Errorf("server name %q", s.ServerName())
	}
	all, last := readAll(t, s)
	if diff := cmp.Diff(map[string]int64{}, all); diff != "" || last != 0 {
		t.Errorf("last position %d, rows %s", last, diff)
	}
}
