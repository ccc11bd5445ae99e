// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A full file fails the jobs that need space, loses nothing that was acknowledged, and goes on when there is space.
func TestFull(t *testing.T) {
	s := newStore(t, Options{})
	update(t, s, func(tx *Tx) error {
		n, err := tx.Pages()
		return errors.Join(err, tx.LimitPages(n+40))
	})
	kept, failed := fill(s, 64)
	if !errors.Is(failed[0], ErrFull) {
		t.Fatalf("error of a full file: %v, want ErrFull", failed[0])
	}
	if len(kept) < 10 {
		t.Errorf("%d jobs were acknowledged in 40 pages", len(kept))
	}
	update(t, s, func(tx *Tx) error { return tx.LimitPages(0) })
	if err := checkFilled(s, kept); err != nil {
		t.Error(err)
	}
}

// A job that ignores the error with which SQLite may have ended its transaction cannot write outside of it, and fails.
func TestFullIgnored(t *testing.T) {
	s := newStore(t, Options{})
	update(t, s, func(tx *Tx) error {
		n, err := tx.Pages()
		return errors.Join(err, tx.Put("a", 1), tx.LimitPages(n+2))
	})
	err := s.Update(context.Background(), func(tx *Tx) error {
		if err := tx.PutPadded("large", 1, make([]byte, 1<<20)); !errors.Is(err, ErrFull) {
			t.Errorf("large row: %v, want ErrFull", err)
		}
		if err := tx.Put("a", 2); !errors.Is(err, ErrFull) {
			t.Errorf("statement after the fault: %v, want it refused", err)
		}
		return nil
	})
	if !errors.Is(err, ErrFull) {
		t.Errorf("the job: %v, want ErrFull", err)
	}
	if all, _ := readAll(t, s); len(all) != 1 || all["a"] != 1 {
		t.Errorf("rows %v, want a = 1 alone", all)
	}
}

// childDisk mounts a small disk of its own at path, fills it, then makes space.
func childDisk(path string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""); err != nil {
		return err
	}
	if err := syscall.Mount("none", path, "tmpfs", 0, "size=4m"); err != nil {
		return err
	}
	ballast := filepath.Join(path, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o600); err != nil {
		return err
	}
	s, err := OpenScratch(context.Background(), Options{Path: filepath.Join(path, "strata.db"), ServerName: "a.example"})
	if err != nil {
		return err
	}
	kept, failed := fill(s, 500)
	if !errors.Is(failed[0], ErrFull) {
		return fmt.Errorf("error of a full disk: %w, want ErrFull", failed[0])
	}
	if _, err := OpenScratch(context.Background(), Options{Path: filepath.Join(path, "b.db"), ServerName: "a.example"}); !errors.Is(err, ErrFull) {
		return fmt.Errorf("create a store on a full disk: %w, want ErrFull", err)
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	if err := checkFilled(s, kept); err != nil {
		return err
	}
	return s.Close()
}

func TestFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount a small disk")
	}
	cmd := child(t, "disk", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	if err := cmd.Start(); errors.Is(err, syscall.EPERM) {
		t.Skip("no right to mount a small disk")
	} else if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
