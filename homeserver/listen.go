// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Limits of what one connection of a client takes. What other servers send has those of transport.ServerLimits.
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
	Peers     bool        // other servers come in too
}

// ServeClients answers clients on a listener, which it closes, until ctx or the server ends. Then waiting requests of clients are answered
// at once, and what else is under way has closeTime.
func (s *Server) ServeClients(ctx context.Context, listener net.Listener, door Door) error {
	open, shut := context.WithCancel(ctx)
	defer shut()
	defer context.AfterFunc(s.alive, shut)()
	requests, cutOff := context.WithCancel(context.WithoutCancel(ctx)) // they outlive open by closeTime
	defer cutOff()
	web := &http.Server{
		Handler: s.behind(door, open), ReadHeaderTimeout: headerTime, ReadTimeout: bodyTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeader,
		BaseContext: func(net.Listener) context.Context { return requests },
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		<-open.Done()
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
	stopped := open.Err() != nil
	shut()
	<-ended
	if stopped {
		return nil
	}
	return fmt.Errorf("answer clients on %s: %w", listener.Addr(), err)
}

// behind is what answers those who come in at a door that is open until open ends.
func (s *Server) behind(door Door, open context.Context) http.Handler {
	handler := shared(s.federation.Handler(), until(open, s.clients), door.Peers)
	if door.Forwarded {
		handler = behindProxy(handler)
	}
	return handler
}

// until ends requests with open.
func until(open context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(open, cancel)()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// peerPaths begin what other servers ask for, and health what load balancers do; all else is for clients. Each of the two says which paths
// it does not know (404), and which methods (405): X-04.
var (
	peerPaths = []string{"/_matrix/federation/", "/_matrix/key/"}
	health    = map[string]bool{"/health": true, "/healthz": true, "/readyz": true}
)

// shared hands what other servers ask to peers, if both come in, and the rest to clients. Its health a server tells everywhere.
func shared(peers, clients http.Handler, both bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isForPeers := slices.ContainsFunc(peerPaths, func(prefix string) bool { return strings.HasPrefix(r.URL.Path, prefix) })
		if both && isForPeers || health[r.URL.Path] {
			peers.ServeHTTP(w, r)
			return
		}
		clients.ServeHTTP(w, r)
	})
}
