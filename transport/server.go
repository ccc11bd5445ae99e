// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/turns"
)

// The endpoints that the server answers by itself.
const (
	keyPrefix     = "/_matrix/key/v2/"
	keyServerPath = keyPrefix + "server"
	keyQueryPath  = keyPrefix + "query"
	versionPath   = "/_matrix/federation/v1/version"
)

// KeySource has the keys of other servers and publishes ours. *keys.Ring is one.
type KeySource interface {
	// Keys leaves out what cannot be had.
	Keys(ctx context.Context, queries []keys.Query) map[keys.Query]ed25519.PublicKey
	Published(now time.Time) []byte
	// Attest is the notary's service.
	Attest(ctx context.Context, asks []keys.Ask) [][]byte
}

// ServerConfig is what a Server works with. ServerName, Keys and Routes are needed.
type ServerConfig struct {
	ServerName ident.ServerName
	Keys       KeySource
	Routes     []Route
	Servers    ServerPolicy // whose requests are answered
	Version    string       // of the software, told to peers (E-02)
	Limits     ServerLimits
	Trace      trace.Sink
}

// Server is the http.Handler that other servers talk to. Its routes and limits are immutable; what requests share is admission, turns
// and draining.
type Server struct {
	self      ident.ServerName
	keys      KeySource
	servers   ServerPolicy
	limits    ServerLimits
	trace     trace.Sink
	router    *router
	admission *admission
	turns     *turns.Turns
	draining  context.Context // done when it was told to stop
	stop      context.CancelFunc
}

var (
	_ http.Handler = (*Server)(nil)
	_ KeySource    = (*keys.Ring)(nil)
)

// NewServer makes a server of the given routes and its own: version, signing keys, notary and health. The error names the route that
// is faulty or conflicts with another.
func NewServer(config ServerConfig) (*Server, error) {
	s := &Server{
		self:    config.ServerName,
		keys:    config.Keys,
		servers: config.Servers,
		limits:  config.Limits.orDefault(),
		trace:   trace.OrDiscard(config.Trace),
	}
	s.draining, s.stop = context.WithCancel(context.Background())
	s.admission, s.turns = newAdmission(s.limits), turns.New(max(1, runtime.GOMAXPROCS(0)-coresForOthers))
	routes := append(s.builtin(config.Version), config.Routes...)
	var err error
	if s.router, err = newRouter(routes, s.serve); err != nil {
		return nil, err
	}
	return s, nil
}

// builtin are the routes of X-62 that need nothing from above.
func (s *Server) builtin(version string) []Route {
	type software struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	return []Route{
		{Method: http.MethodGet, Pattern: versionPath, Open: true, Handle: func(context.Context, *Request) (Reply, error) {
			return JSON(map[string]software{"server": {"Strata", version}})
		}},
		{Method: http.MethodGet, Pattern: keyServerPath, Open: true, Handle: func(context.Context, *Request) (Reply, error) {
			return Reply{Body: s.keys.Published(time.Now())}, nil
		}},
		{Method: http.MethodGet, Pattern: keyQueryPath + "/:serverName", Open: true, Handle: s.queryServer},
		{Method: http.MethodPost, Pattern: keyQueryPath, Open: true, MaxBody: maxKeyQuery, Handle: s.queryServers},
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		switch r.URL.Path {
		case healthPath, alivePath:
			probe(w, http.StatusOK, "OK")
			return
		case readyPath:
			if s.draining.Err() != nil {
				probe(w, http.StatusServiceUnavailable, "draining")
			} else {
				probe(w, http.StatusOK, "OK")
			}
			return
		}
	}
	s.router.ServeHTTP(w, r)
}

// The paths for load balancers and supervisors: the server answers; it wants requests. They are neither limited nor traced, and are
// asked every few seconds.
const (
	healthPath = "/health"
	alivePath  = "/healthz"
	readyPath  = "/readyz"
)

func probe(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text) // who does not wait for it does not need it
}

// serve answers one request for which the router has found m.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, m match) {
	begun := time.Now()
	served := trace.TransportServed{Method: r.Method, Remote: r.RemoteAddr}
	if m.route != nil {
		served.Route = m.route.Pattern
	}
	if m.allow != "" {
		w.Header().Set("Allow", m.allow)
	}
	visit, err := s.admission.enter(r.RemoteAddr)
	defer visit.leave()
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.HandleTime) // until the reply is written: Reply.Stream asks the store
	defer cancel()
	in := &inbound{server: s, writer: w, http: r.WithContext(ctx), match: m, visit: visit}
	var reply Reply
	if err == nil {
		reply, err = in.run()
	}
	if err == nil {
		err = visit.hold(int64(len(reply.Body)))
	}
	served.Origin = string(in.origin)
	if err != nil {
		refusal := errInternal
		_ = errors.As(err, &refusal)
		served.Code, served.Reason = string(refusal.Code), err.Error()
		reply = errorReplyOf(w.Header(), refusal)
	}
	served.Status = s.write(w, reply)
	served.Took = time.Since(begun)
	s.trace.Emit(served)
}

// errorReplyOf renders a refusal.
func errorReplyOf(header http.Header, refusal *Error) Reply {
	if refusal.RetryAfter > 0 {
		seconds := (refusal.RetryAfter + time.Second - 1) / time.Second
		header.Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
	status := refusal.Status
	if status < 300 {
		status = http.StatusInternalServerError
	}
	return Reply{Status: status, Body: refusal.body()}
}

// write sends the reply and returns its status. A peer that does not take it loses it: there is nobody to tell.
func (s *Server) write(w http.ResponseWriter, reply Reply) int {
	if reply.Status < 200 || reply.Status > 599 {
		reply.Status = http.StatusOK
	}
	if reply.Body == nil {
		reply.Body = []byte("{}")
	}
	header := w.Header()
	header.Set("Content-Type", cmp.Or(reply.Type, "application/json"))
	if reply.Stream != nil {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.limits.WriteTime))
		w.WriteHeader(reply.Status)
		_ = reply.Stream(w) // a peer that got less than all sees that it did
		return reply.Status
	}
	header.Set("Content-Length", strconv.Itoa(len(reply.Body)))
	// A ResponseWriter of the simulated network or of a test has no deadlines; there is no slow client behind it.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(min(paced(int64(len(reply.Body))), s.limits.WriteTime)))
	w.WriteHeader(reply.Status)
	_, _ = w.Write(reply.Body)
	return reply.Status
}

// handle runs the route's handler. A panic there is a defect of ours, which the peer sees as a 500 and the trace in full.
func (s *Server) handle(ctx context.Context, route *Route, request *Request) (reply Reply, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			s.trace.Emit(trace.TransportPanic{Route: route.Pattern, Value: fmt.Sprint(fault), Stack: string(debug.Stack())})
			err = fmt.Errorf("handler panicked: %v", fault)
		}
	}()
	return route.Handle(ctx, request)
}
