// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// turnstile lets the requests of other servers through that read much: of one server one at a time for each room that it names and few
// altogether, and so many of all servers. Others wait a little, and are then told to come back. mu guards lines.
type turnstile struct {
	all   chan struct{}
	mu    sync.Mutex
	lines map[line]*queue
}

// line is what requests queue up for: a server's requests about a room, and with room "" all of that server's.
type line struct {
	server ident.ServerName
	room   ident.RoomID
}

// queue is those who are served or wait in a line.
type queue struct {
	places chan struct{}
	users  int
}

func newTurnstile() *turnstile {
	return &turnstile{all: make(chan struct{}, maxServed), lines: map[line]*queue{}}
}

// limited is a handler behind the turnstile.
func (e *Engine) limited(
	handle func(context.Context, *transport.Request) (transport.Reply, error),
) func(context.Context, *transport.Request) (transport.Reply, error) {
	return func(ctx context.Context, r *transport.Request) (transport.Reply, error) {
		leave, err := e.turnstile.enter(ctx, r.Origin, ident.RoomID(r.Params["roomID"]))
		if err != nil {
			return transport.Reply{}, err
		}
		defer leave()
		return handle(ctx, r)
	}
}

// enter waits for a place; leave gives it back. A *transport.Error with status 429 when there is none to be had.
func (t *turnstile) enter(ctx context.Context, server ident.ServerName, room ident.RoomID) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, maxServeWait)
	defer cancel()
	leaveRoom, ok := func() {}, true
	if room != "" { // a single event is asked for without its room
		leaveRoom, ok = t.pass(ctx, line{server, room}, 1)
	}
	if !ok {
		return nil, errTooMany()
	}
	leaveServer, ok := t.pass(ctx, line{server, ""}, maxServedOfServer)
	if !ok {
		leaveRoom()
		return nil, errTooMany()
	}
	if !take(ctx, t.all) {
		leaveServer()
		leaveRoom()
		return nil, errTooMany()
	}
	return func() {
		<-t.all
		leaveServer()
		leaveRoom()
	}, nil
}

// pass waits for one of the places of a line.
func (t *turnstile) pass(ctx context.Context, at line, width int) (leave func(), ok bool) {
	q, ok := t.join(at, width)
	if !ok {
		return nil, false
	}
	if !take(ctx, q.places) {
		t.leave(at, q)
		return nil, false
	}
	return func() {
		<-q.places
		t.leave(at, q)
	}, true
}

// join counts a request into a line, unless that is too long already.
func (t *turnstile) join(at line, width int) (*queue, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.lines[at]
	if q == nil {
		q = &queue{places: make(chan struct{}, width)}
		t.lines[at] = q
	}
	if q.users >= width+maxServeWaiting {
		return nil, false
	}
	q.users++
	return q, true
}

func (t *turnstile) leave(at line, q *queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.users--; q.users == 0 {
		delete(t.lines, at)
	}
}

func take(ctx context.Context, places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func errTooMany() *transport.Error {
	const pause = 5 * time.Second // the longest of them, the state of a large room, takes a second or two
	refusal := refuse(http.StatusTooManyRequests, spec.ErrorLimitExceeded, "too many requests for history and state of your server at one time")
	refusal.RetryAfter = pause
	return refusal
}
