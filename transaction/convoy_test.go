// SPDX-License-Identifier: Apache-2.0

package transaction

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Those who come while a job is under way share the next one, and an error is that of the one who made it: the others' errands
// are done, once.
func TestAConvoySharesJobsButNoErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := persistence.Open(t.Context(), persistence.Options{
			Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "us.example", NoSync: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		c := newConvoy(store)
		errBad := errors.New("bad")
		release, results := make(chan struct{}), make(chan error, 4)
		jobs := map[*persistence.Tx]int{} // of the store's goroutine alone, like tries
		tries := 0
		start := func(e errand) { go func() { results <- c.run(t.Context(), e) }() }
		queue := func(server ident.ServerName) errand {
			return func(tx *persistence.Tx, _ *persistence.LogReader) error {
				jobs[tx]++
				_, err := tx.Enqueue(persistence.Outbound{Kind: persistence.KindEDU, Content: []byte(`{}`)}, []ident.ServerName{server})
				return err
			}
		}
		start(func(*persistence.Tx, *persistence.LogReader) error { <-release; return nil })
		synctest.Wait()
		start(queue("a.example"))
		start(func(*persistence.Tx, *persistence.LogReader) error { tries++; return errBad })
		start(queue("b.example"))
		synctest.Wait()
		close(release)
		synctest.Wait()
		failed := 0
		for range 4 {
			if err := <-results; errors.Is(err, errBad) {
				failed++
			} else if err != nil {
				t.Error(err)
			}
		}
		if failed != 1 || tries != 2 {
			t.Errorf("%d errands failed, the bad one was tried %d times; want 1 and 2: in company and alone", failed, tries)
		}
		var got []ident.ServerName
		err = store.View(t.Context(), func(tx *persistence.Tx) error {
			list, err := tx.Destinations()
			for _, d := range list {
				got = append(got, d.Server)
			}
			if last := tx.LastPosition(); last != 2 {
				t.Errorf("%d positions taken, want 2", last)
			}
			return err
		})
		if diff := cmp.Diff([]ident.ServerName{"a.example", "b.example"}, got); err != nil || diff != "" {
			t.Error(err, diff)
		}
		if len(jobs) < 2 {
			t.Errorf("two errands that were done again alone were done in %d jobs", len(jobs))
		}
	})
}

// In a rush turns wait for each other: those who come one by one after a large convoy share the next, and who comes alone later leaves at
// once.
func TestAConvoyBoardsInARush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := persistence.Open(t.Context(), persistence.Options{
			Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "us.example", NoSync: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		c := newConvoy(store)
		jobs := map[*persistence.Tx]int{} // of the store's goroutine alone until all is over
		var all sync.WaitGroup
		come := func() {
			all.Go(func() {
				err := c.run(t.Context(), func(tx *persistence.Tx, _ *persistence.LogReader) error { jobs[tx]++; return nil })
				if err != nil {
					t.Error(err)
				}
			})
		}
		release := make(chan struct{})
		all.Go(func() {
			_ = c.run(t.Context(), func(tx *persistence.Tx, _ *persistence.LogReader) error { <-release; jobs[tx]++; return nil })
		})
		synctest.Wait()
		for range company {
			come()
		}
		synctest.Wait()
		close(release)
		for range 4 {
			time.Sleep(boarding / 5)
			come()
		}
		all.Wait()
		if len(jobs) > 3 {
			t.Errorf("%d errands took %d jobs, want 3 at most: one alone, a convoy, and those who came after it together", 5+company, len(jobs))
		}
		time.Sleep(time.Second)
		begun := time.Now()
		come()
		all.Wait()
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("who came alone waited for %s", waited)
		}
	})
}
