// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/strata-matrix/strata/persistence"
)

// testCloseDrains closes a store on which jobs wait. A job may be refused, because it came late, but what was acknowledged is kept
// and what was refused is not.
func testCloseDrains(t *testing.T, open Opener) {
	const waiting = 20
	dir := t.TempDir()
	s := open(t, dir, nil)
	release := occupy(t, s)
	answers := make([]chan error, waiting)
	for n := range answers {
		answers[n] = make(chan error, 1)
		go func() {
			answers[n] <- s.Update(context.Background(), func(tx Tx) error { return tx.Put(fmt.Sprint(n), 1) })
		}()
	}
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	release()
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	want := make([]int64, waiting)
	for n := range answers {
		switch err := <-answers[n]; {
		case err == nil:
			want[n] = 1
		case errors.Is(err, persistence.ErrClosed):
			want[n] = -1
		default:
			t.Errorf("job %d: %v", n, err)
		}
	}
	s = open(t, dir, nil)
	defer closeStore(t, s)
	for n := range want {
		if got := get(t, s, fmt.Sprint(n)); got != want[n] {
			t.Errorf("job %d left %d, want %d", n, got, want[n])
		}
	}
}

func testClosed(t *testing.T, open Opener) {
	s := open(t, t.TempDir(), nil)
	closeStore(t, s)
	closeStore(t, s)
	never := func(Tx) error { t.Error("a job ran on a closed store"); return nil }
	if err := s.Update(context.Background(), never); !errors.Is(err, persistence.ErrClosed) {
		t.Errorf("Update: %v, want ErrClosed", err)
	}
	if err := s.View(context.Background(), never); !errors.Is(err, persistence.ErrClosed) {
		t.Errorf("View: %v, want ErrClosed", err)
	}
}

func testCrashBefore(t *testing.T, open Opener) { testCrash(t, open, persistence.BeforeCommit) }
func testCrashAfter(t *testing.T, open Opener)  { testCrash(t, open, persistence.AfterCommit) }

// testCrash crashes the commit that holds b, with a and the first position already durable, and another job waiting.
func testCrash(t *testing.T, open Opener, at persistence.Point) {
	errCrash := errors.New("power cut")
	armed := false // read and written on the store's goroutine only, once opened
	dir := t.TempDir()
	s := open(t, dir, func(p persistence.Point) error {
		if armed && p == at {
			return errCrash
		}
		return nil
	})
	put(t, s, "a", 1)
	if got := next(t, s); got != 1 {
		t.Fatalf("position %d, want 1", got)
	}
	err := s.Update(context.Background(), func(tx Tx) error {
		armed = true
		tx.AfterCommit(func() { t.Error("callback of an unanswered job ran") })
		_, err := tx.NextPosition()
		return errors.Join(err, tx.Put("b", 1))
	})
	if !errors.Is(err, persistence.ErrClosed) || !errors.Is(err, errCrash) {
		t.Errorf("the crashed job: %v, want ErrClosed and the crash", err)
	}
	late := s.View(context.Background(), func(Tx) error { t.Error("a job ran after the crash"); return nil })
	if !errors.Is(late, persistence.ErrClosed) {
		t.Errorf("after the crash: %v, want ErrClosed", late)
	}
	closeStore(t, s)

	s = open(t, dir, nil)
	defer closeStore(t, s)
	b, position := int64(-1), persistence.Position(2)
	if at == persistence.AfterCommit {
		b, position = 1, 3
	}
	if got := get(t, s, "a"); got != 1 {
		t.Errorf("a = %d, want 1: it was acknowledged", got)
	}
	if got := get(t, s, "b"); got != b {
		t.Errorf("b = %d, want %d", got, b)
	}
	if got := next(t, s); got != position {
		t.Errorf("next position %d, want %d", got, position)
	}
}
