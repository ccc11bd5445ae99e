// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"sync"
	"testing"
)

// testIsolation keeps two numbers equal in every committed state and different inside the jobs that change them.
func testIsolation(t *testing.T, open Opener) {
	const writers, readers, rounds = 4, 4, 100
	s := open(t, t.TempDir(), nil)
	defer closeStore(t, s)
	put(t, s, "a", 0)
	put(t, s, "b", 0)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for n := range rounds {
				err := s.Update(context.Background(), func(tx Tx) error {
					a, _, err := tx.Get("a")
					if err != nil {
						return err
					}
					if err := tx.Put("a", a+1); err != nil {
						return err
					}
					if n%5 == 4 {
						return errJob
					}
					return tx.Put("b", a+1)
				})
				if (err != nil) != (n%5 == 4) {
					t.Errorf("round %d: %v", n, err)
				}
			}
		})
	}
	for range readers {
		wg.Go(func() {
			last := int64(0)
			for range rounds {
				err := s.View(context.Background(), func(tx Tx) error {
					a, _, err := tx.Get("a")
					if err != nil {
						return err
					}
					b, _, err := tx.Get("b")
					if a != b || a < last {
						t.Errorf("a, b = %d, %d after %d; want equal and never less", a, b, last)
					}
					last = a
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got, want := get(t, s, "a"), int64(writers*rounds*4/5); got != want {
		t.Errorf("a = %d, want %d: an update was lost", got, want)
	}
}

func testViewWrites(t *testing.T, open Opener) {
	s := open(t, t.TempDir(), nil)
	defer closeStore(t, s)
	err := s.View(context.Background(), func(tx Tx) error {
		if err := tx.Put("a", 1); err == nil {
			t.Error("Put in View: no error")
		}
		if p, err := tx.NextPosition(); err == nil {
			t.Errorf("NextPosition in View gave %d, no error", p)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if got := get(t, s, "a"); got != -1 {
		t.Errorf("a = %d, want none", got)
	}
	if got := next(t, s); got != 1 {
		t.Errorf("position %d, want 1", got)
	}
}
