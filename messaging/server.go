// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
)

var (
	// ErrClosed: the server was closed. Open it anew.
	ErrClosed = errors.New("server is closed")
	// ErrNotOurs: the user belongs to another server, which alone can act for them.
	ErrNotOurs = errors.New("user of another server")
	// ErrNoServer: the room is not known here and no server was named to reach it over. Name one that is in the room.
	ErrNoServer = errors.New("no other server to ask")
	// ErrSubscribed: a subscription of that name is running. A name has one cursor and one reader.
	ErrSubscribed = errors.New("subscription is running already")
)

// Server is one homeserver's federation. Its methods may be called from any goroutine.
//
// It owns no room: those belong to the engine. What its calls share is guarded where it stands: calls and joining by their own
// locks, subscribed and closers' end by mu.
type Server struct {
	self    ident.ServerName
	core    Core
	own     *keys.Own
	ring    *keys.Ring
	tls     *tls.Config
	trace   trace.Sink
	store   *persistence.Store
	network *transport.Network // nil in a simulation
	client  *transport.Client
	asked   *transport.Circuit // the client, for what is asked of other servers
	fetcher *deviceFetcher
	policy  transport.ServerPolicy
	outbox  *transaction.Outbox
	engine  *pdu.Engine
	http    *transport.Server

	alive   context.Context // ends with Close, or when the server fails
	end     context.CancelCauseFunc
	calls   gate           // calls of the program and requests of peers
	closers []func() error // complete when Open returns
	closing sync.Once
	closed  error

	joining  turns    // at the door of each room, one at a time
	progress progress // of joins over others
	awaiting awaiting // requests of other servers for what has not been uploaded

	mu         sync.Mutex
	subscribed map[string]bool // names that are running
}

// Name is the server's name.
func (s *Server) Name() ident.ServerName { return s.self }

// Store is the server's file, for those who inspect it, and for a homeserver's own tables in it (Config.Annex).
func (s *Server) Store() *persistence.Store { return s.store }

// Engine is the server's rooms, for those who inspect them.
func (s *Server) Engine() *pdu.Engine { return s.engine }

// Outbox is what is sent to other servers, for those who inspect and direct it.
func (s *Server) Outbox() *transaction.Outbox { return s.outbox }

// Policy says with which servers this one federates; it takes exceptions while it runs.
func (s *Server) Policy() transport.ServerPolicy { return s.policy }

// OwnKeys are the keys with which this server signs.
func (s *Server) OwnKeys() *keys.Own { return s.own }

// Keys are the keys of other servers, for those who inspect them.
func (s *Server) Keys() *keys.Ring { return s.ring }

// Client sends requests to other servers, for those who inspect them.
func (s *Server) Client() *transport.Client { return s.client }

// Network is the way to other servers, for who looks into it; nil with a RoundTripper of one's own.
func (s *Server) Network() *transport.Network { return s.network }

// Handler answers other servers' requests: for tests, simulated networks, or an http.Server of one's own. Serve uses it too.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.calls.enter() {
			http.Error(w, `{"errcode":"M_UNKNOWN","error":"shutting down"}`, http.StatusServiceUnavailable)
			return
		}
		defer s.calls.leave()
		s.http.ServeHTTP(w, r)
	})
}

// Serve answers requests on listener, which it closes, until ctx or the server ends; requests under way may finish. It may be
// called for several listeners at once. It returns nil when ctx ended or Close was called.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	ctx, done, err := s.begin(ctx)
	if err != nil {
		_ = listener.Close() // nobody will use it; the error says why
		return err
	}
	defer done()
	if err := s.http.Serve(ctx, listener, s.tls); err != nil {
		return err
	}
	if err := s.Err(); err != nil && !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// Done is closed when the server has ended: it was closed, or its store or one of its loops gave up. It must be closed in either
// case.
func (s *Server) Done() <-chan struct{} { return s.alive.Done() }

// Err says why Done is closed: ErrClosed after an orderly Close. It is nil before.
func (s *Server) Err() error { return context.Cause(s.alive) }

// Close ends the server: calls are broken off, requests under way are answered, everything that was acknowledged is durable. When
// it returns nothing of the server runs any more. It may be called again.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.end(ErrClosed)
		var faults []error
		for _, f := range slices.Backward(s.closers) {
			faults = append(faults, f())
		}
		s.closed = errors.Join(faults...)
	})
	return s.closed
}

// begin lets a call in. Its context ends with the caller's and with the server.
func (s *Server) begin(ctx context.Context) (inside context.Context, done func(), err error) {
	if s.alive.Err() != nil || !s.calls.enter() {
		return nil, nil, s.Err()
	}
	inside, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.alive, func() { cancel(s.Err()) })
	return inside, func() {
		stop()
		cancel(nil)
		s.calls.leave()
	}, nil
}

// call runs f inside the gate. When the server ends meanwhile the error says so.
func (s *Server) call(ctx context.Context, f func(context.Context) error) error {
	ctx, done, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer done()
	err = f(ctx)
	if cause := s.Err(); err != nil && cause != nil {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// ours checks that a user id is well-formed and of this server.
func (s *Server) ours(user ident.UserID) error {
	if _, err := ident.ParseUserID(string(user)); err != nil {
		return err
	}
	if user.Server() != s.self {
		return fmt.Errorf("%w: %s", ErrNotOurs, user)
	}
	return nil
}

// newcomer is ours for a user who may not have been seen by other servers yet: the grammar is that of new user ids.
func (s *Server) newcomer(user ident.UserID) error {
	if err := s.ours(user); err != nil {
		return err
	}
	_, err := ident.ParseNewUserID(string(user))
	return err
}
