// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/strata-matrix/strata/trace"
)

// Serve accepts connections on listener, which it closes, until ctx ends. Then clients are told to come back elsewhere, running
// requests get ServerLimits.DrainTime to finish, and Serve returns nil as soon as they have; a request that takes longer is cut off.
// With a nil config it speaks plain HTTP/1.1, for a proxy in front that ends TLS.
func (s *Server) Serve(ctx context.Context, listener net.Listener, config *tls.Config) error {
	requests, cutOff := context.WithCancel(context.WithoutCancel(ctx)) // they outlive ctx by the drain time
	defer cutOff()
	server := s.httpServer(requests)
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		s.drain(server)
	})
	limited := newLimitedListener(listener, s.limits.Connections, s.trace)
	var err error
	if config == nil {
		err = server.Serve(limited)
	} else {
		server.TLSConfig = config.Clone()
		err = server.ServeTLS(limited, "", "")
	}
	if stop() { // ctx has not ended: the listener failed
		server.Close()
		return fmt.Errorf("serve on %s: %w", listener.Addr(), err)
	}
	<-drained
	return nil
}

// drain closes the listener and the connections that rest, and the others when their requests have ended. net/http would wait for
// more than that: seconds for clients that have connected and say nothing, and for what HTTP/2 calls idle.
func (s *Server) drain(server *http.Server) {
	// lastWords is for the replies and farewells that net/http has still to hand to the kernel.
	const lastWords = 100 * time.Millisecond
	s.stop()
	patience, cancel := context.WithTimeout(context.Background(), s.limits.DrainTime)
	defer cancel()
	quiet := make(chan struct{})
	go func() {
		defer close(quiet)
		_ = server.Shutdown(patience) // says farewell at once; its error is that of patience
	}()
	select {
	case <-quiet:
	case <-patience.Done():
	case <-s.admission.emptied():
		select {
		case <-quiet:
		case <-time.After(lastWords):
		}
	}
	_ = server.Close() // only the listener, which is closed, could fail
	cancel()
	<-quiet
}

// httpServer is net/http's server with a bound on everything that a slow or hostile client could stretch. Bodies and replies have
// their deadlines in inbound.read and Server.write.
func (s *Server) httpServer(requests context.Context) *http.Server {
	const (
		streams   = 64               // concurrent requests on one HTTP/2 connection
		pingAfter = 30 * time.Second // without a frame, ask whether an HTTP/2 client is alive: one that is stuck in a header is not
		pingWait  = 10 * time.Second
	)
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.limits.HeaderTime, // bounds the TLS handshake too
		IdleTimeout:       s.limits.IdleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: streams, SendPingTimeout: pingAfter, PingTimeout: pingWait},
		BaseContext:       func(net.Listener) context.Context { return requests },
		ErrorLog:          log.New(traceWriter{s.trace}, "", 0),
	}
}

// traceWriter turns the log lines of net/http, which are about connections, into trace events.
type traceWriter struct{ sink trace.Sink }

func (w traceWriter) Write(line []byte) (int, error) {
	w.sink.Emit(trace.TransportConnection{Message: string(bytes.TrimSpace(line))})
	return len(line), nil
}

// limitedListener keeps no more connections open than it has places, and of these none from one address that the others need: see pool.
// Those that are too many are closed at once.
type limitedListener struct {
	net.Listener
	trace trace.Sink

	mu     sync.Mutex
	places pool[party]
}

func newLimitedListener(inner net.Listener, places int, sink trace.Sink) *limitedListener {
	return &limitedListener{Listener: inner, trace: sink, places: newPool[party](int64(places))}
}

// Accept waits for a connection for which there is a place.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := addressParty(conn.RemoteAddr().String())
		if l.take(from) {
			return &placedConn{Conn: conn, leave: sync.OnceFunc(func() { l.give(from) })}, nil
		}
		conn.Close()
		l.trace.Emit(trace.TransportConnection{Message: "too many connections of " + string(from)})
	}
}

func (l *limitedListener) take(from party) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.places.take(from, 1)
}

func (l *limitedListener) give(from party) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.places.give(from, 1)
}

// Close ends Accept.
func (l *limitedListener) Close() error {
	if err := l.Listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

type placedConn struct {
	net.Conn
	leave func()
}

// Close gives the place back.
func (c *placedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
