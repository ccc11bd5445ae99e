// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/strata-matrix/strata/trace"
)

// DefaultMaxBody is the cap of a request's body in bytes: an event is at most 64 KiB, lists of keys and filters are some times that.
const DefaultMaxBody = 1 << 20

// How long a client may take for an answer, from its first byte on: as much as a sync of many rooms takes over a slow line, and the
// largest download.
const (
	answerTime = time.Minute
	streamTime = 10 * time.Minute
)

// Config is what a handler is made of.
type Config struct {
	Routes []Route
	Tokens Tokens
	// Witness is told who comes in; nil for nobody.
	Witness Witness
	Trace   trace.Sink // may be nil
}

// handler is the door. It is immutable.
type handler struct {
	mux     *http.ServeMux
	tokens  Tokens
	witness Witness
	trace   trace.Sink
}

// NewHandler makes the door for clients. Routes that contradict each other are an error.
func NewHandler(cfg Config) (http.Handler, error) {
	h := &handler{mux: http.NewServeMux(), tokens: cfg.Tokens, witness: cfg.Witness, trace: trace.OrDiscard(cfg.Trace)}
	for _, route := range cfg.Routes {
		if err := h.add(route, route.Pattern); err != nil {
			return nil, err
		}
		if rest, ok := strings.CutPrefix(route.Pattern, "/_matrix/client/v3/"); ok {
			if err := h.add(route, "/_matrix/client/r0/"+rest); err != nil {
				return nil, err
			}
		}
	}
	return h, nil
}

func (h *handler) add(route Route, pattern string) (err error) {
	defer func() { // ServeMux's way of saying that two patterns conflict
		if fault := recover(); fault != nil {
			err = fmt.Errorf("route %s %s: %v", route.Method, pattern, fault)
		}
	}()
	h.mux.HandleFunc(route.Method+" "+pattern, func(w http.ResponseWriter, r *http.Request) { h.serve(route, w, r) })
	return nil
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	allowOrigins(w.Header())
	if r.Method == http.MethodOptions { // Client-Server API, "Web Browser Clients"
		w.WriteHeader(http.StatusOK)
		return
	}
	if found, pattern := h.mux.Handler(r); pattern == "" {
		refuse(found, w, r)
		return
	}
	h.mux.ServeHTTP(w, r)
}

func allowOrigins(header http.Header) {
	header.Set("Access-Control-Allow-Origin", "*")
	header.Set("Access-Control-Allow-Methods", "GET, POST, PUT, DELETE, OPTIONS")
	header.Set("Access-Control-Allow-Headers", "X-Requested-With, Content-Type, Authorization")
}

// refuse says in Matrix's words why there is no route, which the mux knows.
func refuse(found http.Handler, w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	found.ServeHTTP(answer, r)
	if answer.Code == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", answer.Header().Get("Allow"))
		Unrecognized(http.StatusMethodNotAllowed, "this endpoint does not take "+r.Method).write(w)
		return
	}
	Unrecognized(http.StatusNotFound, "no such endpoint").write(w)
}

func (h *handler) serve(route Route, w http.ResponseWriter, r *http.Request) {
	reply, err := h.answer(route, w, r)
	if err != nil {
		h.refusal(route, err).write(w)
		return
	}
	for name, values := range reply.Header {
		w.Header()[name] = values
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	if reply.Status == 0 {
		reply.Status = http.StatusOK
	}
	if reply.Stream != nil {
		giveTime(w, streamTime)
	} else {
		giveTime(w, answerTime)
	}
	w.WriteHeader(reply.Status)
	switch {
	case reply.Stream != nil:
		if err := reply.Stream(w); err != nil {
			_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0)) // the end is not sent: the client learns that it has not got all
		}
	case reply.Body == nil:
		_, _ = io.WriteString(w, "{}") // a client that is gone needs no answer
	default:
		_, _ = w.Write(reply.Body)
	}
}

// giveTime bounds what is left of a request. Writers of tests have no deadlines: there is no slow client behind them.
func giveTime(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
}

// answer checks who asks, reads what they say, and has the route answer. A panic there is a defect of ours, of which the trace tells.
func (h *handler) answer(route Route, w http.ResponseWriter, r *http.Request) (reply Reply, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("handler panicked: %v\n%s", fault, debug.Stack())
		}
	}()
	caller, err := h.caller(route, r)
	if err != nil {
		return Reply{}, err
	}
	if h.witness != nil && caller.User != "" {
		h.witness.Seen(caller, r.RemoteAddr)
	}
	request := &Request{
		Caller: caller, Method: r.Method, Query: r.URL.Query(), Header: r.Header, Remote: r.RemoteAddr, path: r.PathValue,
	}
	limit := route.MaxBody
	if limit == 0 {
		limit = DefaultMaxBody
	}
	body := http.MaxBytesReader(w, r.Body, limit)
	if route.Raw {
		request.Reader = body
	} else if request.Body, err = readBody(r.Method, body); err != nil {
		return Reply{}, err
	}
	return route.Handle(r.Context(), request)
}

// readBody reads a body, which is a JSON object if there is one: there are no others in the Client-Server API. That of a GET means
// nothing.
func readBody(method string, body io.Reader) ([]byte, error) {
	if method == http.MethodGet {
		return nil, nil
	}
	read, err := io.ReadAll(body)
	if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
		return nil, &Error{
			Status: http.StatusRequestEntityTooLarge, Code: "M_TOO_LARGE",
			Message: fmt.Sprintf("the body is longer than %d bytes", tooLong.Limit),
		}
	}
	if err != nil {
		return nil, &Error{Status: http.StatusBadRequest, Code: "M_NOT_JSON", Message: "the body did not come whole"}
	}
	switch {
	case len(read) == 0:
		return nil, nil
	case !utf8.Valid(read) || !json.Valid(read):
		return nil, &Error{Status: http.StatusBadRequest, Code: "M_NOT_JSON", Message: "the body is not JSON"}
	case bytes.TrimLeft(read, " \t\r\n")[0] != '{':
		return nil, BadJSON("the body is not a JSON object")
	}
	return read, nil
}

// caller tells who asks. Tokens in the query are not taken (S-37): they end up in logs. On an open route a token that is not valid is
// as good as none: a client that refreshes sends along what has expired.
func (h *handler) caller(route Route, r *http.Request) (Caller, error) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		if route.Open {
			return Caller{}, nil
		}
		return Caller{}, &Error{Status: http.StatusUnauthorized, Code: "M_MISSING_TOKEN", Message: "an access token is needed, as Authorization: Bearer"}
	}
	caller, err := h.tokens.Caller(r.Context(), token)
	if refusal := (*Error)(nil); route.Open && errors.As(err, &refusal) {
		return Caller{}, nil
	}
	return caller, err
}

// refusal is the error that the client gets. What it is not told, the trace is.
func (h *handler) refusal(route Route, err error) *Error {
	refusal := (*Error)(nil)
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.Is(err, context.Canceled):
		return &Error{Status: http.StatusServiceUnavailable, Code: "M_UNKNOWN", Message: "the request was broken off"}
	}
	h.trace.Emit(trace.ClientFailed{Method: route.Method, Route: route.Pattern, Error: err.Error()})
	return &Error{Status: http.StatusInternalServerError, Code: "M_UNKNOWN", Message: "internal error"}
}
