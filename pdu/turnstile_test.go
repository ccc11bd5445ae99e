// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// enterLater enters in a goroutine of its own; the channel gives leave, or is closed when it was refused.
func (t *turnstile) enterLater(ctx context.Context, server ident.ServerName, room ident.RoomID) <-chan func() {
	entered := make(chan func(), 1)
	go func() {
		defer close(entered)
		if leave, err := t.enter(ctx, server, room); err == nil {
			entered <- leave
		}
	}()
	synctest.Wait()
	return entered
}

func TestTurnstileTakesOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stile := newTurnstile()
		leave, err := stile.enter(t.Context(), "a.example", "!r")
		if err != nil {
			t.Fatal(err)
		}
		second := stile.enterLater(t.Context(), "a.example", "!r")
		if len(second) != 0 {
			t.Fatal("two requests of a server about a room at once")
		}
		other, err := stile.enter(t.Context(), "a.example", "!other")
		if err != nil {
			t.Fatalf("another room: %v", err)
		}
		third := stile.enterLater(t.Context(), "a.example", "!third")
		if len(third) != 0 {
			t.Fatal("three requests of a server at once")
		}
		if leave, err := stile.enter(t.Context(), "b.example", "!r"); err != nil {
			t.Fatalf("another server: %v", err)
		} else {
			leave()
		}
		leave()
		other()
		(<-second)()
		(<-third)()
	})
}

// Whoever waits too long is refused, and so is who finds too many waiting; afterwards nothing is left behind.
func TestTurnstileRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stile := newTurnstile()
		leave, err := stile.enter(t.Context(), "a.example", "!r")
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		waiting := make([]<-chan func(), maxServeWaiting)
		for i := range waiting {
			waiting[i] = stile.enterLater(t.Context(), "a.example", "!r")
		}
		_, err = stile.enter(t.Context(), "a.example", "!r")
		var refusal *transport.Error
		if !errors.As(err, &refusal) || refusal.Status != http.StatusTooManyRequests || refusal.RetryAfter <= 0 || time.Since(begun) != 0 {
			t.Errorf("too many waiting: %v after %v, want 429 at once", err, time.Since(begun))
		}
		for _, w := range waiting {
			if _, ok := <-w; ok {
				t.Error("entered although nobody left")
			}
		}
		if waited := time.Since(begun); waited != maxServeWait {
			t.Errorf("refused after %v, want %v", waited, maxServeWait)
		}
		leave()
		if len(stile.lines) != 0 || len(stile.all) != 0 {
			t.Errorf("%d lines and %d places are taken when nobody is there", len(stile.lines), len(stile.all))
		}
		leaves := []func(){}
		for i := range maxServed {
			leave, err := stile.enter(t.Context(), ident.ServerName(strconv.Itoa(i)), "!r")
			if err != nil {
				t.Fatal(err)
			}
			leaves = append(leaves, leave)
		}
		if last := stile.enterLater(t.Context(), "last", "!r"); len(last) != 0 {
			t.Error("more than maxServed at once")
		} else {
			leaves[0]()
			(<-last)()
		}
		for _, leave := range leaves[1:] {
			leave()
		}
	})
}
