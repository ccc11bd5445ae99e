// SPDX-License-Identifier: Apache-2.0

package stream_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
)

// slow is a feed's deriver that takes a while, and may hang.
type slow struct{ takes time.Duration }

func (s *slow) Derive(ctx context.Context, _ stream.Batch) (func(*persistence.Tx) error, error) {
	select {
	case <-time.After(s.takes):
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

type nobody struct{}

func (nobody) Dispatch(stream.Batch) {}

// Who asks after an answer has all in it that was in the store by then, however far behind the feed is, as long as it is not very far.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, err := messaging.Open(t.Context(), messaging.Config{
			ServerName: "a.example", DataDir: t.TempDir(), NoSync: true, Annex: persistence.Annex{Name: "hs", Steps: []string{stream.Schema}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		store, progress, work := server.Store(), stream.NewProgress(server.Store()), &slow{}
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := progress.Now(expired(t)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before the feed runs: %v, want that nobody gets in", err)
		}
		ended := make(chan error, 1)
		feed := stream.NewFeed(stream.FeedConfig{
			Self: server.Name(), Store: store, Progress: progress, Rooms: server.Engine(), Dispatch: nobody{}, Derive: []stream.Deriver{work},
		})
		go func() { ended <- feed.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		for _, tt := range []struct {
			takes, waits time.Duration
			sees         bool
		}{
			{0, 0, true},
			{5 * time.Millisecond, 5 * time.Millisecond, true},
			{10 * time.Second, time.Second, false},
		} {
			work.takes = tt.takes
			at, began := enter(t, store), time.Now()
			now, err := progress.Now(t.Context())
			if waited := time.Since(began); err != nil || waited != tt.waits || (now >= at) != tt.sees {
				t.Errorf("a feed that takes %v: through %d of %d after %v, %v", tt.takes, now, at, waited, err)
			}
			if err := progress.CatchUp(t.Context()); err != nil || progress.Reached() < at {
				t.Errorf("a feed that takes %v, waited for: through %d of %d, %v", tt.takes, progress.Reached(), at, err)
			}
		}
		work.takes = time.Hour
		enter(t, store)
		if _, err := progress.Now(expired(t)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a request that is over waits: %v", err)
		}
	})
}

// enter enters something.
func enter(t *testing.T, store *persistence.Store) (at persistence.Position) {
	t.Helper()
	err := store.Update(t.Context(), func(tx *persistence.Tx) (err error) {
		at, err = stream.Append(tx, stream.Entry{Kind: stream.AccountData, User: "@alice:a.example"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func expired(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
