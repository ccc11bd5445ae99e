// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
)

// Server is a homeserver. Its methods may be called from any goroutine.
type Server struct {
	federation *messaging.Server
	clients    http.Handler
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
	cfg.Messaging.CoreOf = func(server *messaging.Server) (messaging.Core, error) {
		var err error
		made, err = assemble(ctx, cfg, server)
		return made.core, err
	}
	federation, err := messaging.Open(ctx, cfg.Messaging)
	if err != nil {
		return nil, err
	}
	clients, err := api.NewHandler(api.Config{Routes: made.routes, Tokens: made.tokens, Trace: cfg.Messaging.Trace})
	if err != nil {
		return nil, errors.Join(err, federation.Close())
	}
	s := &Server{federation: federation, clients: clients, trace: trace.OrDiscard(cfg.Messaging.Trace)}
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

// Limits of what one connection of a client takes.
const (
	headerTime = 10 * time.Second
	// bodyTime is what the largest upload takes over a slow line; how long an answer may take is the handler's.
	bodyTime  = 10 * time.Minute
	idleTime  = 2 * time.Minute
	maxHeader = 64 << 10
	// closeTime is what requests under way have to finish: a sync that waits is not waited for.
	closeTime = 5 * time.Second
)

// Door is how clients come in at a listener. The zero value is plain HTTP, spoken by the clients themselves.
type Door struct {
	TLS       *tls.Config // nil for plain HTTP
	Forwarded bool        // a proxy stands before it and says in X-Forwarded-For where clients are
}

// ServeClients answers clients on a listener, which it closes, until ctx or the server ends.
func (s *Server) ServeClients(ctx context.Context, listener net.Listener, door Door) error {
	handler := s.clients
	if door.Forwarded {
		handler = behindProxy(handler)
	}
	base, cancel := context.WithCancel(ctx)
	defer cancel()
	web := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTime, ReadTimeout: bodyTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return base },
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-base.Done():
		case <-s.alive.Done():
			cancel()
		}
		grace, done := context.WithTimeout(context.Background(), closeTime)
		defer done()
		if web.Shutdown(grace) != nil {
			_ = web.Close() // what is left has had its time
		}
	}()
	var err error
	if door.TLS != nil {
		web.TLSConfig = door.TLS.Clone() // net/http adds to it
		err = web.ServeTLS(listener, "", "")
	} else {
		err = web.Serve(listener)
	}
	stopped := base.Err() != nil
	cancel()
	<-ended
	if stopped {
		return nil
	}
	return fmt.Errorf("answer clients on %s: %w", listener.Addr(), err)
}
