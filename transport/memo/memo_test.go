// SPDX-License-Identifier: Apache-2.0

package memo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

type answer struct {
	n     int
	until time.Time
}

func newMemo(max int) *Memo[answer] { return New(max, func(a answer) time.Time { return a.until }) }

// The caches stay bounded whatever names peers come up with (G-H3), and give up what ends first.
func TestBounded(t *testing.T) {
	const max = evictionSample // so that all are compared
	start := time.Now().Add(time.Hour)
	m := newMemo(max)
	for i := range 10 * max {
		work := func(context.Context, answer) (answer, error) { return answer{i, start.Add(time.Duration(i))}, nil }
		if _, kept, err := m.Ask(t.Context(), fmt.Sprint(i), false, time.Second, work); kept || err != nil {
			t.Fatalf("answer %d: kept %v, %v", i, kept, err)
		}
		if n := len(m.All()); n > max {
			t.Fatalf("%d answers, at most %d are allowed", n, max)
		}
	}
	for i := range 10 * max {
		if _, found := m.Get(fmt.Sprint(i)); found != (i >= 9*max) {
			t.Errorf("answer %d: found %v", i, found)
		}
	}
	if n := m.Drop(func(_ string, a answer) bool { return a.n%2 == 0 }); n != max/2 || len(m.All()) != max/2 {
		t.Errorf("dropped %d, %d left", n, len(m.All()))
	}
}

// What is kept is good until its time and no longer; errors are not kept; a fresh question is asked in any case.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemo(9)
		asked := 0
		broken := errors.New("broken")
		ask := func(fresh bool, fail error) (int, bool, error) {
			v, kept, err := m.Ask(t.Context(), "k", fresh, time.Second, func(_ context.Context, before answer) (answer, error) {
				if asked++; fail != nil {
					return answer{}, fail
				}
				return answer{before.n + 1, time.Now().Add(time.Minute)}, nil
			})
			return v.n, kept, err
		}
		for i, tt := range []struct {
			wait  time.Duration
			fresh bool
			fail  error
			n     int
			kept  bool
		}{
			{0, false, broken, 0, false}, {0, false, nil, 1, false}, {time.Minute - 1, false, nil, 1, true}, {1, false, nil, 2, false},
			{0, true, nil, 3, false}, {0, true, broken, 0, false}, {0, false, nil, 3, true},
		} {
			time.Sleep(tt.wait)
			if n, kept, err := ask(tt.fresh, tt.fail); n != tt.n || kept != tt.kept || !errors.Is(err, tt.fail) {
				t.Errorf("question %d: %d, kept %v, %v", i, n, kept, err)
			}
		}
		if asked != 5 {
			t.Errorf("asked %d times, want 5", asked)
		}
	})
}

// All who wait share one run, which outlives who gives up, but not its timeout.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemo(9)
		runs := 0
		work := func(ctx context.Context, _ answer) (answer, error) {
			runs++
			<-ctx.Done()
			return answer{7, time.Now().Add(time.Hour)}, nil
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, _, err := m.Ask(impatient, "k", false, time.Minute, work); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("impatient: %v", err)
			}
		})
		synctest.Wait()
		begun := time.Now()
		for range 20 {
			wg.Go(func() {
				if a, _, err := m.Ask(t.Context(), "k", false, time.Minute, work); err != nil || a.n != 7 {
					t.Errorf("got %v, %v", a, err)
				}
			})
		}
		wg.Wait()
		if runs != 1 || time.Since(begun) != time.Minute {
			t.Errorf("%d runs, %v", runs, time.Since(begun))
		}
	})
}
