// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/strata-matrix/strata/persistence"
)

func testKept(t *testing.T, open Opener) {
	dir := t.TempDir()
	s := open(t, dir, nil)
	err := s.Update(context.Background(), func(tx Tx) error {
		if err := tx.Put("a", 1); err != nil {
			return err
		}
		v, found, err := tx.Get("a")
		if v != 1 || !found {
			t.Errorf("a job reads its own write as %d, %t; want 1, true", v, found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, "a"); got != 1 {
		t.Errorf("after the answer a = %d, want 1", got)
	}
	if got := next(t, s); got != 1 {
		t.Errorf("first position %d, want 1", got)
	}
	closeStore(t, s)

	s = open(t, dir, nil)
	defer closeStore(t, s)
	if got := get(t, s, "a"); got != 1 {
		t.Errorf("after opening again a = %d, want 1", got)
	}
	if got := next(t, s); got != 2 {
		t.Errorf("position after opening again %d, want 2", got)
	}
}

func testFailed(t *testing.T, open Opener) {
	s := open(t, t.TempDir(), nil)
	defer closeStore(t, s)
	put(t, s, "a", 1)
	err := s.Update(context.Background(), func(tx Tx) error {
		if _, err := tx.NextPosition(); err != nil {
			t.Error(err)
		}
		tx.AfterCommit(func() { t.Error("callback of a failed job ran") })
		return errors.Join(tx.Put("a", 2), tx.Put("b", 2), errJob)
	})
	if !errors.Is(err, errJob) {
		t.Errorf("error %v, want the job's own", err)
	}
	if a, b := get(t, s, "a"), get(t, s, "b"); a != 1 || b != -1 {
		t.Errorf("a, b = %d, %d; want 1, -1", a, b)
	}
	if got := next(t, s); got != 1 {
		t.Errorf("position %d, want 1: the failed job's is given back", got)
	}
}

func testPanic(t *testing.T, open Opener) {
	s := open(t, t.TempDir(), nil)
	defer closeStore(t, s)
	job := func(tx Tx) error {
		_ = tx.Put("a", 1) // in View it fails, which is not the point here
		panic("out of order")
	}
	if err := s.Update(context.Background(), job); err == nil {
		t.Error("Update of a panicking job: no error")
	}
	if err := s.View(context.Background(), job); err == nil {
		t.Error("View of a panicking job: no error")
	}
	if got := get(t, s, "a"); got != -1 {
		t.Errorf("a = %d, want none", got)
	}
	put(t, s, "a", 2)
}

// testConcurrent has many callers whose jobs fail, panic or do well, and compares what is kept with what was acknowledged.
func testConcurrent(t *testing.T, open Opener) {
	const callers, jobs = 16, 40
	s := open(t, t.TempDir(), nil)
	defer closeStore(t, s)
	var (
		mu   sync.Mutex
		kept = map[string]int64{}
		wg   sync.WaitGroup
	)
	for caller := range callers {
		wg.Go(func() {
			for n := range jobs {
				key, position := fmt.Sprintf("%d/%d", caller, n), persistence.Position(0)
				err := s.Update(context.Background(), func(tx Tx) (err error) {
					if position, err = tx.NextPosition(); err != nil {
						return err
					}
					if err := tx.Put(key, int64(position)); err != nil {
						return err
					}
					switch (caller + n) % 4 {
					case 1:
						return errJob
					case 2:
						panic("on purpose")
					}
					return nil
				})
				if wantErr := (caller+n)%4 == 1 || (caller+n)%4 == 2; (err != nil) != wantErr {
					t.Errorf("job %s: error %v, want one: %t", key, err, wantErr)
				}
				if err == nil {
					mu.Lock()
					kept[key] = int64(position)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	var positions []int64
	for caller := range callers {
		for n := range jobs {
			key := fmt.Sprintf("%d/%d", caller, n)
			want, ok := kept[key]
			if !ok {
				want = -1
			} else {
				positions = append(positions, want)
			}
			if got := get(t, s, key); got != want {
				t.Errorf("%s = %d, want %d", key, got, want)
			}
		}
	}
	slices.Sort(positions)
	for i, p := range positions {
		if p != int64(i+1) {
			t.Fatalf("position %d where %d is due: a gap or a repeat", p, i+1)
		}
	}
}

func testDeadTx(t *testing.T, open Opener) {
	s := open(t, t.TempDir(), nil)
	defer closeStore(t, s)
	var kept Tx
	if err := s.Update(context.Background(), func(tx Tx) error { kept = tx; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := kept.Put("a", 1); err == nil {
		t.Error("Put after the job: no error")
	}
	if _, _, err := kept.Get("a"); err == nil {
		t.Error("Get after the job: no error")
	}
	if _, err := kept.NextPosition(); err == nil {
		t.Error("NextPosition after the job: no error")
	}
	if got := next(t, s); got != 1 {
		t.Errorf("position %d, want 1", got)
	}
}
