// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// stopped makes the files of a store that holds a = 1: of one that was closed, or of one whose process was killed, which leaves
// its commits in the write-ahead log.
func stopped(t *testing.T, killed bool) (path string) {
	t.Helper()
	dir := t.TempDir()
	path = filepath.Join(dir, "strata.db")
	s := newStore(t, Options{Path: path})
	update(t, s, func(tx *Tx) error {
		_, err := tx.NextPosition()
		return errors.Join(err, tx.Put("a", 1))
	})
	if killed {
		dead := t.TempDir()
		if err := os.CopyFS(dead, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dead, "strata.db")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// contents are the names and hashes of the files in a directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		sums[e.Name()] = fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return sums
}

func TestReadOnly(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %t", killed), func(t *testing.T) {
			path := stopped(t, killed)
			before := contents(t, filepath.Dir(path))
			if _, hasLog := before["strata.db-wal"]; hasLog != killed {
				t.Fatalf("there is a write-ahead log: %t", hasLog)
			}
			s := newStore(t, Options{Path: path, ReadOnly: true})
			all, last := readAll(t, s)
			if diff := cmp.Diff(map[string]int64{"a": 1}, all); diff != "" || last != 1 {
				t.Errorf("last position %d, rows %s", last, diff)
			}
			err := s.Update(context.Background(), func(*Tx) error { t.Error("a job ran"); return nil })
			if !errors.Is(err, ErrReadOnly) {
				t.Errorf("Update: %v, want ErrReadOnly", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, contents(t, filepath.Dir(path))); diff != "" {
				t.Errorf("reading changed the directory:\n%s", diff)
			}
		})
	}
}

// The same without the right to write anything, as another user.
func TestReadOnlyWithoutRights(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to start a process as another user")
	}
	const nobody = 65534
	for _, killed := range []bool{false, true} {
		path := stopped(t, killed)
		protect(t, filepath.Dir(path))
		cmd := child(t, "read", path)
		cmd.Path = readableSelf(t)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		if err := cmd.Run(); err != nil {
			t.Errorf("killed %t: %v", killed, err)
		}
	}
}

// protect takes the right to write away from a directory and its files, and gives the right to read to all.
func protect(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.Chmod(filepath.Join(dir, e.Name()), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o555); err != nil {
			t.Fatal(err)
		}
	}
}

// readableSelf is a copy of the test binary that any user may execute.
func readableSelf(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(dir, "persistence.test")
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
