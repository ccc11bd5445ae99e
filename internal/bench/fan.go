// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// fan is how the server sends to many destinations at once. It belongs to the goroutine that obeys orders; attempted is counted by
// the outbox, which then leaves a token in told.
type fan struct {
	port, count int
	attempted   atomic.Int64
	told        chan struct{}
}

// watch counts attempts that were answered.
func (f *fan) watch(e trace.Event) {
	if a, ok := e.(trace.TransactionAttempted); ok && a.Class == persistence.ClassOK {
		f.attempted.Add(1)
		select {
		case f.told <- struct{}{}:
		default:
		}
	}
}

// send sends one event to everybody in the room, and returns when all have it and that is durable.
func (f *fan) send(ctx context.Context, s *messaging.Server, room ident.RoomID) error {
	goal := f.attempted.Load() + int64(f.count)
	user := ident.UserID("@creator:" + string(s.Name()))
	if _, err := s.Send(ctx, room, user, "m.room.message", map[string]string{"msgtype": "m.text", "body": fanBody}); err != nil {
		return err
	}
	for f.attempted.Load() < goal {
		select {
		case <-f.told:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d have it: %w", int64(f.count)-goal+f.attempted.Load(), f.count, ctx.Err())
		}
	}
	return s.Store().Update(ctx, func(*persistence.Tx) error { return nil }) // behind what is still to be written
}

// request makes the same number of bare signed requests of the same size, on the same connections and as many at a time.
func (f *fan) request(ctx context.Context, client *transport.Client, body []byte, number int) error {
	work := make(chan int)
	var failed atomic.Pointer[error]
	var workers sync.WaitGroup
	for range transaction.DefaultRetryPolicy().Concurrent * 3 / 4 { // the places of destinations that are not failing
		workers.Go(func() {
			for i := range work {
				_, err := client.Do(ctx, destination(i, f.port), transport.Call{
					Method: http.MethodPut, Body: body,
					Path: transport.Path("_matrix", "federation", "v1", "send", fmt.Sprintf("floor-%d-%d", number, i)),
				})
				if err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	for i := range f.count {
		work <- i
	}
	close(work)
	workers.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// fanBody is what is said: a common length.
const fanBody = "This is a message of a common length, as people write them all day long to many others, who read it or do not."

// timed runs f and gives what it took the process.
func timed(events int, f func() error) (spent, error) {
	before, err := usage()
	if err != nil {
		return spent{}, err
	}
	begun := time.Now()
	if err := f(); err != nil {
		return spent{}, err
	}
	wall := time.Since(begun)
	after, err := usage()
	return spent{events, wall, cpuTime(after) - cpuTime(before)}, err
}
