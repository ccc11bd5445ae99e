// SPDX-License-Identifier: Apache-2.0

package turns_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/transport/turns"
)

// Whoever sends little waits for what is under way and one turn of each other party, however many wait of those; and no more work at
// one time than there are turns.
func TestOneTurnOfEachOther(t *testing.T) {
	for _, atOnce := range []int{1, 2, 4} {
		synctest.Test(t, func(t *testing.T) {
			const floods, each, turn = 8, 50, time.Millisecond
			shared := turns.New(atOnce)
			var mu sync.Mutex
			working, most, done := 0, 0, 0
			work := func() {
				mu.Lock()
				working++
				most = max(most, working)
				mu.Unlock()
				time.Sleep(turn)
				mu.Lock()
				working--
				done++
				mu.Unlock()
			}
			var all sync.WaitGroup
			for i := range floods {
				ctx := shared.For(t.Context(), fmt.Sprintf("flood%d.example", i))
				for range each {
					all.Go(func() {
						if err := turns.Do(ctx, work); err != nil {
							t.Error(err)
						}
					})
				}
			}
			time.Sleep(turn / 2)
			victim := shared.For(t.Context(), "victim.example")
			for range 5 {
				begun := time.Now()
				if err := turns.Do(victim, work); err != nil {
					t.Error(err)
				}
				// The turn under way, those of the others, atOnce of them side by side, and its own.
				if took, want := time.Since(begun), turn+turn*time.Duration((floods+atOnce-1)/atOnce)+turn; took > want {
					t.Errorf("%d at once: %s, want at most %s", atOnce, took, want)
				}
			}
			all.Wait()
			if most != atOnce || done != floods*each+5 {
				t.Errorf("%d at one time, want %d; %d done", most, atOnce, done)
			}
		})
	}
}

// Whoever gives up while it waits leaves no gap in the round, and a turn that comes at that moment is passed on; so is that of work
// that panics. Work for ourselves does not wait.
func TestTurnsAreNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := turns.New(1)
		a, b := shared.For(t.Context(), "a.example"), shared.For(t.Context(), "b.example")
		release := make(chan struct{})
		var first sync.WaitGroup
		first.Go(func() { _ = turns.Do(a, func() { <-release }) })
		synctest.Wait()
		const waiting = 6
		ended := make(chan error, waiting)
		gone, giveUp := context.WithCancel(a)
		for i := range waiting {
			ctx := []context.Context{gone, b}[i%2]
			go func() { ended <- turns.Do(ctx, func() {}) }()
			synctest.Wait()
		}
		giveUp()
		close(release)
		refused := 0
		for range waiting {
			if err := <-ended; errors.Is(err, context.Canceled) {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		if refused > waiting/2 {
			t.Errorf("%d gave up, want at most %d", refused, waiting/2)
		}
		first.Wait()
		func() {
			defer func() { _ = recover() }()
			_ = turns.Do(a, func() { panic("defect") })
		}()
		worked := 0
		for _, ctx := range []context.Context{a, b, t.Context()} {
			if err := turns.Do(ctx, func() { worked++ }); err != nil {
				t.Error(err)
			}
		}
		_ = turns.Do(a, func() {
			if err := turns.Do(t.Context(), func() { worked++ }); err != nil {
				t.Error(err)
			}
		})
		if worked != 4 {
			t.Errorf("worked %d times, want 4", worked)
		}
	})
}
