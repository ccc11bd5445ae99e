// SPDX-License-Identifier: Apache-2.0

package persistence_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/persistence/storetest"
	"github.com/strata-matrix/strata/transport/ident"
)

// scratchStore shows the SQLite store to the conformance suite.
type scratchStore struct{ *persistence.Store }

func (s scratchStore) Update(ctx context.Context, f func(storetest.Tx) error) error {
	return s.Store.Update(ctx, func(tx *persistence.Tx) error { return f(tx) })
}

func (s scratchStore) View(ctx context.Context, f func(storetest.Tx) error) error {
	return s.Store.View(ctx, func(tx *persistence.Tx) error { return f(tx) })
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T, dir string, crash func(persistence.Point) error) storetest.Store {
		t.Helper()
		store, err := persistence.OpenScratch(context.Background(), persistence.Options{
			Path: filepath.Join(dir, "strata.db"), ServerName: "a.example", CommitPoint: crash,
		})
		if err != nil {
			t.Fatal(err)
		}
		return scratchStore{store}
	})
}

func TestTimeline(t *testing.T) {
	storetest.RunTimeline(t, func(t *testing.T) func(func(storetest.Events) error) {
		t.Helper()
		store, err := persistence.Open(context.Background(), persistence.Options{
			Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "a.example",
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = store.Close() })
		do := func(job func(*persistence.Tx) error) {
			t.Helper()
			if err := store.Update(context.Background(), job); err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range []ident.RoomID{"!1:a.example", "!2:a.example"} {
			do(func(tx *persistence.Tx) error {
				_, err := tx.PutRoom(persistence.Room{ID: id, Version: "10"})
				return err
			})
		}
		return func(job func(storetest.Events) error) {
			t.Helper()
			do(func(tx *persistence.Tx) error { return job(tx) })
		}
	})
}

// TestSubjects holds each subject's tables to their contract: rooms 1 and 2, which we are in, events 1, 2 and 3 of the first, and a
// destination.
func TestSubjects(t *testing.T) {
	t.Run("gaps", contract(storetest.RunGaps))
	t.Run("copies", contract(storetest.RunCopies))
	t.Run("backfills", contract(storetest.RunBackfills))
	t.Run("partial rooms", contract(storetest.RunPartial))
	t.Run("judged again", contract(storetest.RunAgain))
	t.Run("searches", contract(storetest.RunQuarantine))
	t.Run("budgets", contract(storetest.RunBudgets))
	t.Run("alarms", contract(storetest.RunAlarms))
	t.Run("sightings", contract(storetest.RunSightings))
	t.Run("room states", contract(storetest.RunRoomStates))
	t.Run("redactions", contract(storetest.RunRedactions))
	t.Run("retention", contract(storetest.RunRetention))
	t.Run("replies", contract(storetest.RunReplies))
	t.Run("contact", contract(storetest.RunContact))
	t.Run("compaction", contract(storetest.RunCompaction))
	t.Run("presents", contract(storetest.RunPresents))
	t.Run("recall", contract(storetest.RunRecall))
	t.Run("pulls", contract(storetest.RunPulls))
	t.Run("relations", contract(storetest.RunRelations))
	t.Run("threads", contract(storetest.RunThreads))
	t.Run("residents", contract(storetest.RunResidents))
	t.Run("messages to devices", contract(storetest.RunToDevice))
	t.Run("device lists", contract(storetest.RunDeviceLists))
}

// contract is a test that runs one contract on a store of its own, whose Tx is what the contract asks for.
func contract[T any](run func(t *testing.T, do func(job func(T) error))) func(*testing.T) {
	return func(t *testing.T) {
		t.Helper()
		store, err := persistence.Open(t.Context(), persistence.Options{
			Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "a.example", NoSync: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		do := func(job func(*persistence.Tx) error) {
			t.Helper()
			if err := store.Update(t.Context(), job); err != nil {
				t.Fatal(err)
			}
		}
		do(furnish)
		run(t, func(job func(T) error) {
			t.Helper()
			do(func(tx *persistence.Tx) error { return job(any(tx).(T)) })
		})
	}
}

// furnish puts two rooms, three events, the last of them a forward extremity, and a destination into an empty store.
func furnish(tx *persistence.Tx) error {
	for _, id := range []ident.RoomID{"!1:a.example", "!2:a.example"} {
		if _, err := tx.PutRoom(persistence.Room{ID: id, Version: "10", Membership: persistence.RoomJoined}); err != nil {
			return err
		}
	}
	for n := range 3 {
		_, _, err := tx.AddEvent(persistence.Event{
			RoomNID: 1, ID: ident.EventID(fmt.Sprintf("$%d", n+1)), Outcome: persistence.OutcomeAccepted, JSON: fmt.Appendf(nil, `{"n":%d}`, n+1),
		})
		if err != nil {
			return err
		}
	}
	if _, err := tx.PutRoom(persistence.Room{
		NID: 1, ID: "!1:a.example", Version: "10", Membership: persistence.RoomJoined, Extremities: []int64{3},
	}); err != nil {
		return err
	}
	return tx.AddDestination("b.example", 0)
}
