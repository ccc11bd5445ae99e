// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// deviceFetcher fetches the device lists of which updates are missing (M-58). Run's goroutine owns flying; news may be touched by any.
type deviceFetcher struct {
	server *Server
	jitter transport.Jitter
	news   chan struct{} // holds one: look for lists that are due
	landed chan ident.UserID
	flying map[ident.UserID]bool
}

func newDeviceFetcher(s *Server, jitter transport.Jitter) *deviceFetcher {
	return &deviceFetcher{
		server: s, jitter: jitter, news: make(chan struct{}, 1), landed: make(chan ident.UserID), flying: map[ident.UserID]bool{},
	}
}

// wake tells that there may be a list to fetch. It never blocks.
func (f *deviceFetcher) wake() {
	select {
	case f.news <- struct{}{}:
	default:
	}
}

// run fetches until ctx ends, then waits for what is under way.
func (f *deviceFetcher) run(ctx context.Context) error {
	for {
		wait, err := f.start(ctx, time.Now())
		if err != nil {
			f.drain()
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		timer := time.NewTimer(wait)
		select {
		case user := <-f.landed:
			delete(f.flying, user)
		case <-f.news:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			f.drain()
			return nil
		}
		timer.Stop()
	}
}

func (f *deviceFetcher) drain() {
	for range f.flying {
		<-f.landed
	}
}

// start sets off what is due, as far as there are places, and tells when to look again.
func (f *deviceFetcher) start(ctx context.Context, now time.Time) (wait time.Duration, err error) {
	const idle = time.Hour
	var lists []persistence.DeviceList
	err = f.server.store.View(ctx, func(tx *persistence.Tx) (err error) {
		lists, err = tx.StaleDeviceLists(2 * maxDeviceFetches) // those that fly are among them
		return err
	})
	if err != nil {
		return 0, err
	}
	for _, list := range lists {
		if f.flying[list.User] {
			continue
		}
		if due := time.UnixMilli(list.DueAt).Sub(now); due > 0 {
			return due, nil
		}
		if len(f.flying) == maxDeviceFetches {
			return idle, nil // one that lands makes room
		}
		f.flying[list.User] = true
		go func() {
			f.fetch(ctx, list)
			f.landed <- list.User
		}()
	}
	return idle, nil
}

// fetch asks for one list and settles what became of it.
func (f *deviceFetcher) fetch(ctx context.Context, list persistence.DeviceList) {
	answer, err := f.ask(ctx, list.User)
	if ctx.Err() != nil {
		return
	}
	event := trace.MessagingDevicesFetched{User: string(list.User), Devices: len(answer.Devices)}
	failure := f.server.store.Update(ctx, func(tx *persistence.Tx) error {
		event.Error, event.Wait = "", 0
		return f.settle(tx, list.User, answer, err, &event)
	})
	if failure != nil {
		event.Error = failure.Error()
	}
	f.server.trace.Emit(event)
}

func (f *deviceFetcher) ask(ctx context.Context, user ident.UserID) (deviceList, error) {
	met := false
	err := f.server.store.View(ctx, func(tx *persistence.Tx) (err error) {
		met, err = f.server.engine.Meets(tx, user)
		return err
	})
	if err != nil {
		return deviceList{}, err
	}
	if !met {
		return deviceList{}, errNotMet
	}
	return f.server.askDevices(ctx, user)
}

var (
	// errNotMet: nobody here shares a room with the user any more.
	errNotMet = errors.New("no room is shared with the user")
	// errOldList: what came is older than what was heard meanwhile.
	errOldList = errors.New("the list is older than updates of it that came before")
)

// settle makes durable what became of a question for a list: the list, or when to ask again.
func (f *deviceFetcher) settle(tx *persistence.Tx, user ident.UserID, answer deviceList, err error, event *trace.MessagingDevicesFetched) error {
	list, found, readErr := tx.DeviceList(user)
	if readErr != nil || !found || !list.Stale {
		return readErr
	}
	if errors.Is(err, errNotMet) || isUnknownEndpoint(err) {
		event.Error = err.Error()
		return tx.DropDeviceList(user)
	}
	if isNotFound(err) { // the user is no more
		answer, err = deviceList{UserDevices: UserDevices{User: user}, stream: slices.Max(append(list.Streams, 0))}, nil
	}
	if err == nil && list.Attempts < maxOldLists && slices.ContainsFunc(list.Streams, func(n int64) bool { return n > answer.stream }) {
		err = errOldList
	}
	if err != nil {
		wait := f.wait(list)
		list.Attempts++
		list.DueAt = time.Now().Add(wait).UnixMilli()
		event.Error, event.Wait = err.Error(), wait
		return tx.PutDeviceList(list)
	}
	list.Streams = append(list.Streams, answer.stream)
	list.Streams = list.Streams[max(0, len(list.Streams)-maxDeviceStreams):]
	list.Stale, list.Attempts, list.DueAt = false, 0, 0
	if err := tx.PutDeviceList(list); err != nil {
		return err
	}
	return f.server.core.DeviceLists.DevicesReplaced(tx, answer.UserDevices)
}

// wait is how long a list is not asked for again.
func (f *deviceFetcher) wait(list persistence.DeviceList) time.Duration {
	wait := devicesRetryMax
	if list.Attempts < 12 { // devicesRetryFirst doubled so often is more
		wait = min(wait, devicesRetryFirst<<list.Attempts)
	}
	return wait - f.jitter.Of(wait/2, string(list.User), time.Now())
}

func isNotFound(err error) bool {
	failure, ok := errors.AsType[*transport.Failure](err)
	return ok && failure.Status == http.StatusNotFound && failure.Code == spec.ErrorNotFound
}

func isUnknownEndpoint(err error) bool {
	failure, ok := errors.AsType[*transport.Failure](err)
	return ok && failure.Status == http.StatusNotFound && failure.Code == spec.ErrorUnrecognized
}
