// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/dispatch"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
)

// Server is a homeserver. Its methods may be called from any goroutine.
type Server struct {
	federation *messaging.Server
	clients    http.Handler
	syncs      *dispatch.Dispatcher
	trace      trace.Sink

	alive   context.Context // ends with Close, or when the server fails
	end     context.CancelCauseFunc
	running sync.WaitGroup // loops
	closing sync.Once
	closed  error
}

// Open starts a homeserver: what it was doing when it last ended, it goes on with. ctx covers the opening only. The server must be
// closed.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	var made parts
	cfg.Messaging.Annex = annex()
	cfg.Messaging.Core = func(server *messaging.Server) (messaging.Core, error) {
		var err error
		made, err = assemble(ctx, cfg, server)
		return made.core, err
	}
	federation, err := messaging.Open(ctx, cfg.Messaging)
	if err != nil {
		return nil, err
	}
	clients, err := api.NewHandler(api.Config{Routes: made.routes, Tokens: made.tokens, Witness: made.witness, Trace: cfg.Messaging.Trace})
	if err != nil {
		return nil, errors.Join(err, federation.Close())
	}
	s := &Server{federation: federation, clients: clients, syncs: made.syncs, trace: trace.OrDiscard(cfg.Messaging.Trace)}
	s.alive, s.end = context.WithCancelCause(context.Background())
	s.drive(made.loops)
	return s, nil
}

// drive runs the loops until the server ends, and ends it with whatever ends first.
func (s *Server) drive(loops []loop) {
	s.running.Go(func() {
		select {
		case <-s.federation.Done():
			s.end(s.federation.Err())
		case <-s.alive.Done():
		}
	})
	for _, l := range loops {
		s.running.Go(func() {
			if err := l.run(s.alive); err != nil && s.alive.Err() == nil && !errors.Is(err, persistence.ErrClosed) {
				s.trace.Emit(trace.MessagingStopped{Error: l.name + ": " + err.Error()})
				s.end(fmt.Errorf("%s: %w", l.name, err))
			}
		})
	}
}

// Federation is the part of the server that talks with others: Federation().Serve answers them.
func (s *Server) Federation() *messaging.Server { return s.federation }

// Handler answers clients: for tests, or an http.Server of one's own. ServeClients uses it too.
func (s *Server) Handler() http.Handler { return s.clients }

// Syncs says how many requests of clients wait for something to happen, and what became of those that were woken.
func (s *Server) Syncs() dispatch.Figures { return s.syncs.Figures() }

// Done is closed when the server has ended: it was closed, or something in it gave up. It must be closed in either case.
func (s *Server) Done() <-chan struct{} { return s.alive.Done() }

// Err says why Done is closed: messaging.ErrClosed after an orderly Close. It is nil before.
func (s *Server) Err() error { return context.Cause(s.alive) }

// Close ends the server. When it returns nothing of it runs any more, and all that was acknowledged is durable.
func (s *Server) Close() error {
	s.closing.Do(func() {
		s.end(messaging.ErrClosed)
		s.running.Wait()
		s.closed = s.federation.Close()
	})
	return s.closed
}
