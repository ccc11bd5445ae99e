// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/strata-matrix/strata/persistence"
)

func testAfterCommit(t *testing.T, open Opener) {
	const callers, jobs = 8, 25
	s := open(t, t.TempDir(), nil)
	defer closeStore(t, s)
	var (
		mu   sync.Mutex
		seen []persistence.Position
		wg   sync.WaitGroup
	)
	for range callers {
		wg.Go(func() {
			for range jobs {
				called := false
				err := s.Update(context.Background(), func(tx Tx) error {
					p, err := tx.NextPosition()
					tx.AfterCommit(func() {
						mu.Lock()
						defer mu.Unlock()
						seen, called = append(seen, p), true
					})
					return err
				})
				mu.Lock()
				if err != nil || !called {
					t.Errorf("Update returned %v, callback had run: %t; want nil, true", err, called)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(seen) != callers*jobs {
		t.Fatalf("%d callbacks, want %d", len(seen), callers*jobs)
	}
	for i, p := range seen {
		if p != persistence.Position(i+1) {
			t.Fatalf("callback %d is of position %d: not in the order of commits", i+1, p)
		}
	}
}

func testCallbackPanic(t *testing.T, open Opener) {
	s := open(t, t.TempDir(), nil)
	defer closeStore(t, s)
	ran := false
	err := s.Update(context.Background(), func(tx Tx) error {
		tx.AfterCommit(func() { panic("on purpose") })
		tx.AfterCommit(func() { ran = true })
		return tx.Put("a", 1)
	})
	if err != nil || !ran {
		t.Errorf("error %v, the next callback ran: %t; want nil, true: the job is durable", err, ran)
	}
	if got := get(t, s, "a"); got != 1 {
		t.Errorf("a = %d, want 1", got)
	}
}

// occupy has the store busy with a job until release is called.
func occupy(t *testing.T, s Store) (release func()) {
	t.Helper()
	started, gate, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- s.Update(context.Background(), func(Tx) error {
			close(started)
			<-gate
			return nil
		})
	}()
	<-started
	return func() {
		close(gate)
		if err := <-ended; err != nil {
			t.Errorf("the occupying job: %v", err)
		}
	}
}

func testCancelled(t *testing.T, open Opener) {
	s := open(t, t.TempDir(), nil)
	defer closeStore(t, s)
	never := func(Tx) error { t.Error("a cancelled job ran"); return nil }

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Update(ctx, never); !errors.Is(err, context.Canceled) {
		t.Errorf("Update with a cancelled context: %v", err)
	}
	if err := s.View(ctx, never); !errors.Is(err, context.Canceled) {
		t.Errorf("View with a cancelled context: %v", err)
	}

	release := occupy(t, s)
	ctx, cancel = context.WithCancel(context.Background())
	answers := make(chan error, 2)
	go func() { answers <- s.Update(ctx, never) }()
	go func() { answers <- s.View(ctx, never) }()
	cancel()
	for range 2 {
		if err := <-answers; !errors.Is(err, context.Canceled) {
			t.Errorf("a job cancelled while it waited: %v", err)
		}
	}
	release()
	put(t, s, "a", 1) // behind the cancelled jobs
}

func testStarted(t *testing.T, open Opener) {
	s := open(t, t.TempDir(), nil)
	defer closeStore(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	err := s.Update(ctx, func(tx Tx) error {
		cancel()
		return tx.Put("a", 1)
	})
	if err != nil {
		t.Errorf("a job whose context ended while it ran: %v, want its own answer", err)
	}
	if got := get(t, s, "a"); got != 1 {
		t.Errorf("a = %d, want 1", got)
	}
}
