// SPDX-License-Identifier: Apache-2.0

package turns

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Whoever spends little waits for the turns that are under way, and for no other, however many of how many parties wait and however long
// theirs are: what counts is time, not turns.
func TestWhoSpendsLittleComesFirst(t *testing.T) {
	for _, atOnce := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			const floods, each, long, short = 5, 40, 10 * time.Millisecond, time.Millisecond
			shared := New(atOnce)
			var all sync.WaitGroup
			for i := range floods {
				ctx := shared.For(t.Context(), fmt.Sprintf("flood%d.example", i))
				for range each {
					all.Go(func() {
						if err := Do(ctx, func() { time.Sleep(long) }); err != nil {
							t.Error(err)
						}
					})
				}
			}
			time.Sleep(floods*long + long/2)
			victim := shared.For(t.Context(), "victim.example")
			for range floods * each / atOnce / 2 { // each takes its own time and the rest of a turn of theirs
				begun := time.Now()
				if err := Do(victim, func() { time.Sleep(short) }); err != nil {
					t.Error(err)
				}
				if took := time.Since(begun); took > long+short {
					t.Errorf("%d at once: %s, want at most %s", atOnce, took, long+short)
				}
			}
			all.Wait()
		})
	}
}

// Who has been away is owed nothing: it shares with who has been there from then on, turn by turn.
func TestNobodySavesUpTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const turn = time.Millisecond
		shared := New(1)
		var all sync.WaitGroup
		var a, b atomic.Int32 // turns that they have had
		crowd := func(party string, done *atomic.Int32, n int) {
			ctx := shared.For(t.Context(), party)
			for range n {
				all.Go(func() {
					_ = Do(ctx, func() { time.Sleep(turn); done.Add(1) })
				})
			}
		}
		crowd("a.example", &a, 300)
		time.Sleep(100*turn + turn/2)
		crowd("b.example", &b, 100)
		time.Sleep(40 * turn)
		if a, b := a.Load(), b.Load(); a < 100+20-11 || b < 20-1 { // b has a credit of ten
			t.Errorf("a had %d turns, b %d of the last 40, want half each", a, b)
		}
		all.Wait()
	})
}

// Many thousand parties of one turn each leave little behind, be there a moment in which nobody works or not.
func TestAccountsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := New(2)
		release := make(chan struct{})
		var always sync.WaitGroup
		always.Go(func() { _ = Do(shared.For(t.Context(), "always.example"), func() { <-release }) })
		synctest.Wait()
		most := 0
		for i := range 20_000 {
			_ = Do(shared.For(t.Context(), fmt.Sprint(i, ".example")), func() { time.Sleep(time.Millisecond) })
			most = max(most, len(shared.accounts))
		}
		if most > 1000 {
			t.Errorf("up to %d accounts at one time", most)
		}
		close(release)
		always.Wait()
	})
}

// BenchmarkDo is what a turn costs that nobody waits for.
func BenchmarkDo(b *testing.B) {
	ctx := New(1).For(b.Context(), "a.example")
	for b.Loop() {
		_ = Do(ctx, func() {})
	}
}
