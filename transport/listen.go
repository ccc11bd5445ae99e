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

	"github.com/strata-matrix/strata/trace"
)

// Serve accepts connections on listener, which it closes, until ctx ends. Then running requests get ServerLimits.DrainTime to
// finish, and Serve returns nil; a request that takes longer is cut off. With a nil config it speaks plain HTTP/1.1, for a proxy
// in front that ends TLS.
func (s *Server) Serve(ctx context.Context, listener net.Listener, config *tls.Config) error {
	requests, cutOff := context.WithCancel(context.WithoutCancel(ctx)) // they outlive ctx by the drain time
	defer cutOff()
	server := s.httpServer(requests)
	drained := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(drained)
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.DrainTime)
		defer cancel()
		if server.Shutdown(patience) != nil {
			server.Close()
		}
	})
	limited := newLimitedListener(listener, s.limits.Connections)
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

// httpServer is net/http's server with a bound on everything that a slow or hostile client could stretch. Bodies and replies have
// their deadlines in inbound.read and Server.write.
func (s *Server) httpServer(requests context.Context) *http.Server {
	const streams = 64 // concurrent requests on one HTTP/2 connection
	return &http.Server{
		Handler:           s,
		ReadHeaderTimeout: s.limits.HeaderTime, // bounds the TLS handshake too
		IdleTimeout:       s.limits.IdleTime,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: streams},
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

// limitedListener accepts no more connections than it has places; a closed connection gives its place back.
type limitedListener struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func newLimitedListener(inner net.Listener, places int) *limitedListener {
	return &limitedListener{Listener: inner, places: make(chan struct{}, places), closed: make(chan struct{})}
}

// Accept waits for a place, then for a connection.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &placedConn{Conn: conn, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// Close ends Accept.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
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
