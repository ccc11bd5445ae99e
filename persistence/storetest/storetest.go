// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/strata-matrix/strata/persistence"
)

// Store is the engine under test. Its methods promise what those of persistence.Store do.
type Store interface {
	Update(ctx context.Context, f func(Tx) error) error
	View(ctx context.Context, f func(Tx) error) error
	Close() error
}

// Tx is a job's access to the engine: a scratch table of named numbers, and what the engine adds to each job.
type Tx interface {
	Put(key string, value int64) error
	Get(key string) (value int64, found bool, err error)
	NextPosition() (persistence.Position, error)
	AfterCommit(f func())
}

// Opener opens the store in dir, creating it at first; crash may be nil. It is called again for the same dir after Close.
type Opener func(t *testing.T, dir string, crash func(persistence.Point) error) Store

// Run runs the suite; each test gets a directory of its own.
func Run(t *testing.T, open Opener) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, Opener)
	}{
		{"a job is kept", testKept},
		{"a failed job leaves nothing", testFailed},
		{"a panicking job fails alone", testPanic},
		{"concurrent failures leave no gap and touch no one else", testConcurrent},
		{"a reader sees one committed moment", testIsolation},
		{"a reader cannot write", testViewWrites},
		{"a Tx dies with its job", testDeadTx},
		{"callbacks run once, in order, before the answer", testAfterCommit},
		{"a panicking callback does not undo its job", testCallbackPanic},
		{"a cancelled job never runs", testCancelled},
		{"a started job is always answered", testStarted},
		{"closing finishes what waits", testCloseDrains},
		{"a closed store refuses", testClosed},
		{"a crash before the commit loses the group", testCrashBefore},
		{"a crash after the commit loses nothing", testCrashAfter},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, open) })
	}
}

// errJob is what jobs that are meant to fail return.
var errJob = errors.New("job's own error")

func put(t *testing.T, s Store, key string, value int64) {
	t.Helper()
	err := s.Update(context.Background(), func(tx Tx) error { return tx.Put(key, value) })
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

// get is the value under key, -1 when there is none.
func get(t *testing.T, s Store, key string) int64 {
	t.Helper()
	value := int64(-1)
	err := s.View(context.Background(), func(tx Tx) error {
		v, found, err := tx.Get(key)
		if found {
			value = v
		}
		return err
	})
	if err != nil {
		t.Fatalf("get %s: %v", key, err)
	}
	return value
}

// next takes one position in a job of its own.
func next(t *testing.T, s Store) persistence.Position {
	t.Helper()
	var position persistence.Position
	err := s.Update(context.Background(), func(tx Tx) (err error) {
		position, err = tx.NextPosition()
		return err
	})
	if err != nil {
		t.Fatalf("take a position: %v", err)
	}
	return position
}

func closeStore(t *testing.T, s Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatalf("close: %v", err)
	}
}
