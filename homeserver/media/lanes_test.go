// SPDX-License-Identifier: Apache-2.0

package media

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/messaging"
)

// No party has more than its width under way, all together not more than there is, and the line ends somewhere.
func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(2, 3)
		done := make(chan string, 100)
		for _, party := range []string{"a", "a", "a", "a", "b", "b"} {
			go func() {
				leave, err := l.enter(t.Context(), party)
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Second)
				leave()
				done <- party
			}()
			synctest.Wait()
		}
		var rounds []string
		for range 3 {
			time.Sleep(time.Second)
			synctest.Wait()
			round := []byte{}
			for len(done) > 0 {
				round = append(round, <-done...)
			}
			slices.Sort(round)
			rounds = append(rounds, string(round))
		}
		if rounds[0] != "aab" || len(rounds[1]) != 3 || rounds[2] != "" {
			t.Errorf("finished %q, want two of a and one of b first, and then the rest", rounds)
		}
		if len(l.of) != 0 || len(l.all) != 0 {
			t.Errorf("%d parties and %d places are still taken", len(l.of), len(l.all))
		}
	})
}

func TestLanesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLanes(1, 1)
		leave, err := l.enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error, maxInLine+1)
		for _, party := range append(slices.Repeat([]string{"a"}, maxInLine), "b") {
			go func() {
				_, err := l.enter(ctx, party)
				left <- err
			}()
		}
		synctest.Wait()
		if _, err := l.enter(ctx, "a"); !errors.Is(err, messaging.ErrMediaBusy) {
			t.Errorf("behind %d: %v", maxInLine, err)
		}
		cancel()
		for range maxInLine + 1 {
			if err := <-left; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		leave()
		if len(l.of) != 0 || len(l.all) != 0 {
			t.Errorf("%d parties and %d places are still taken", len(l.of), len(l.all))
		}
	})
}

// What fails fails for all who wait; what was broken off is done again by the next.
func TestFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := flights{under: map[string]*flight{}}
		runs, fault := 0, errors.New("fault")
		gone, leave := context.WithCancel(t.Context())
		results := make(chan error, 3)
		for _, ctx := range []context.Context{gone, t.Context(), t.Context()} {
			go func() {
				_, err := s.do(ctx, "x", func() error {
					runs++
					select {
					case <-ctx.Done():
						return ctx.Err()
					case <-time.After(time.Second):
						return fault
					}
				})
				results <- err
			}()
			synctest.Wait()
		}
		leave()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
		for range 2 {
			if err := <-results; !errors.Is(err, fault) {
				t.Errorf("who stayed: %v, want the fault", err)
			}
		}
		if runs != 2 || len(s.under) != 0 {
			t.Errorf("%d runs, %d are still under way; want 2 and 0", runs, len(s.under))
		}
	})
}

// A decoder that would go on for hours ends where it next reads.
func TestHurried(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	h := hurried{ctx, strings.NewReader("picture")}
	if _, err := h.Read(make([]byte, 3)); err != nil {
		t.Error(err)
	}
	cancel()
	if rest, err := io.ReadAll(h); len(rest) != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%q %v after the end", rest, err)
	}
}
