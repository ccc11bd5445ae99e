// SPDX-License-Identifier: Apache-2.0

package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// A subscription goes on after a restart where it stood, and another name starts from the beginning.
func TestSubscriptionResumes(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx, dir := t.Context(), t.TempDir()
		a := n.open("a.example", dir)
		var first journal
		stop := subscribe(t, a, "log", first.deliver)
		room := must[ident.RoomID](t)(a.CreateRoom(ctx, messaging.CreateRoom{Creator: alice}))
		for i := range 3 {
			must[ident.EventID](t)(a.Send(ctx, room, alice, "m.room.message", text(fmt.Sprint(i))))
		}
		synctest.Wait()
		stop()
		must[ident.EventID](t)(a.Send(ctx, room, alice, "m.room.message", text("while nobody listens")))
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}

		a = n.open("a.example", dir)
		var second, fresh journal
		defer subscribe(t, a, "log", second.deliver)()
		defer subscribe(t, a, "fresh", fresh.deliver)()
		must[ident.EventID](t)(a.Send(ctx, room, alice, "m.room.message", text("after the restart")))
		synctest.Wait()

		want := []string{"@alice:a.example: while nobody listens", "@alice:a.example: after the restart"}
		if diff := cmp.Diff(want, second.all()); diff != "" {
			t.Errorf("resumed (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(append(first.all(), want...), fresh.all()); diff != "" {
			t.Errorf("from the beginning (-want +got):\n%s", diff)
		}
		if !slices.IsSorted(fresh.positions) {
			t.Errorf("positions %v are not in order", fresh.positions)
		}
	})
}

// A callback that fails gets the same event again after 1, 2, 4 … seconds, and nothing overtakes it.
func TestCallbackRetry(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.open("a.example", "")
		var delivered journal
		var attempts []time.Time
		defer subscribe(t, a, "log", func(ctx context.Context, d messaging.Delivery) error {
			if describe(d) == "@alice:a.example: hard" && len(attempts) < 8 {
				if attempts = append(attempts, time.Now()); len(attempts) < 8 {
					return errors.New("not now")
				}
			}
			return delivered.deliver(ctx, d)
		})()
		room := must[ident.RoomID](t)(a.CreateRoom(t.Context(), messaging.CreateRoom{Creator: alice}))
		for _, body := range []string{"easy", "hard", "after"} {
			must[ident.EventID](t)(a.Send(t.Context(), room, alice, "m.room.message", text(body)))
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()

		var waits []time.Duration
		for i := 1; i < len(attempts); i++ {
			waits = append(waits, attempts[i].Sub(attempts[i-1]).Round(time.Millisecond))
		}
		want := []time.Duration{1e9, 2e9, 4e9, 8e9, 16e9, 32e9, 60e9}
		if diff := cmp.Diff(want, waits); diff != "" {
			t.Errorf("waits (-want +got):\n%s", diff)
		}
		lines := delivered.all()
		if diff := cmp.Diff([]string{"@alice:a.example: easy", "@alice:a.example: hard", "@alice:a.example: after"}, lines[len(lines)-3:]); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

// A crash can repeat callbacks, it cannot lose one.
func TestSubscriptionAcrossACrash(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ctx, dir := t.Context(), t.TempDir()
		commits, crashAt := 0, -1
		a := n.open("a.example", dir, func(c *messaging.Config) {
			c.CommitPoint = func(p persistence.Point) error {
				if p != persistence.BeforeCommit {
					return nil
				}
				if commits++; commits == crashAt {
					return errors.New("power cut")
				}
				return nil
			}
		})
		room := must[ident.RoomID](t)(a.CreateRoom(ctx, messaging.CreateRoom{Creator: alice}))
		for i := range 5 {
			must[ident.EventID](t)(a.Send(ctx, room, alice, "m.room.message", text(fmt.Sprint(i))))
		}
		crashAt = commits + 1 // the cursor's first move
		var before, after journal
		ended := make(chan error, 1)
		go func() { ended <- a.Subscribe(ctx, "log", before.deliver) }()
		if err := <-ended; !errors.Is(err, persistence.ErrClosed) {
			t.Errorf("subscription: %v, want persistence.ErrClosed", err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		a = n.open("a.example", dir)
		defer subscribe(t, a, "log", after.deliver)()
		synctest.Wait()
		if diff := cmp.Diff(before.all(), after.all()); diff != "" || len(after.all()) < 5 {
			t.Errorf("after the crash, of %d (-want +got):\n%s", len(after.all()), diff)
		}
	})
}

func TestOneReaderForAName(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.open("a.example", "")
		nothing := func(context.Context, messaging.Delivery) error { return nil }
		stop := subscribe(t, a, "log", nothing)
		synctest.Wait()
		if err := a.Subscribe(t.Context(), "log", nothing); !errors.Is(err, messaging.ErrSubscribed) {
			t.Errorf("second reader: %v, want ErrSubscribed", err)
		}
		stop()
		subscribe(t, a, "log", nothing)()
		if err := a.Subscribe(t.Context(), "", nothing); err == nil {
			t.Error("a subscription without a name was accepted")
		}
	})
}
