// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/discovery"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// Call is one request to another server.
type Call struct {
	Method string
	Path   string // escaped, as Path makes it
	Query  url.Values
	// Body is a JSON object, sent exactly as it stands and signed in canonical form. Nil is {} for a PUT or POST, and no body otherwise.
	Body []byte
	// Unsigned leaves the X-Matrix header out, for the endpoints of X-62.
	Unsigned bool
	// Authorization is a header that was made before, for exactly this request, "" for one that is made now.
	Authorization string
	// MaxReply is the cap of the reply in bytes, 0 for DefaultMaxReply.
	MaxReply int64
	// Timeout is for everything, from resolution to the last byte; 0 for that of ClientLimits.
	Timeout time.Duration
}

// Answer is a reply that says success: a status of 2xx and a JSON object or array.
type Answer struct {
	Status int
	Body   []byte
}

// Path escapes each segment and joins them: Path("_matrix", "federation", "v1", "event", "$a/b") is
// "/_matrix/federation/v1/event/$a%2Fb".
func Path(segments ...string) string {
	var b strings.Builder
	for _, segment := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(segment))
	}
	return b.String()
}

// Do sends call to dest and waits for the reply. The error, if any, is or wraps a *Failure; it does not name dest.
func (c *Client) Do(ctx context.Context, dest ident.ServerName, call Call) (Answer, error) {
	if call.Body == nil && (call.Method == http.MethodPut || call.Method == http.MethodPost) {
		call.Body = []byte("{}")
	}
	begun := time.Now()
	attempt, cancel := context.WithTimeout(ctx, positive(call.Timeout, c.limits.Timeout))
	defer cancel()
	x := &exchange{client: c, dest: dest, call: call}
	answer, err := x.run(attempt)
	sent := trace.TransportSent{
		Destination: string(dest), Method: call.Method, Path: call.Path, Step: x.step,
		Status: answer.Status, Sent: len(call.Body), Received: len(answer.Body), Took: time.Since(begun),
	}
	if err == nil {
		c.trace.Emit(sent)
		return answer, nil
	}
	failure := failureOf(attempt, err)
	failure.Phase = x.phase()
	sent.Status, sent.Class, sent.Error = failure.Status, string(failure.Class), failure.Error()
	c.trace.Emit(sent)
	if failure.Status == 0 { // for want of an answer it does not matter what was asked, and whom, the caller says
		return Answer{}, failure
	}
	return Answer{}, fmt.Errorf("%s %s: %w", call.Method, call.Path, failure)
}

// exchange is one run of Do, on its goroutine.
type exchange struct {
	client *Client
	dest   ident.ServerName
	call   Call
	accept string // media types, "" for JSON
	step   string

	connected, written atomic.Bool // set by net/http's goroutines
	remote             atomic.Pointer[string]
	held               atomic.Pointer[keptConn]
}

// hold says which connection the request is on now, nil for none. One that net/http takes for a request that was given up stays
// held; it is closed when nothing has come over it for a while, as ever.
func (x *exchange) hold(c *keptConn) {
	if c != nil {
		c.enter()
	}
	if before := x.held.Swap(c); before != nil {
		before.leave()
	}
}

// phase is how far the request has come.
func (x *exchange) phase() Phase {
	switch {
	case x.client.network == nil:
		return "" // a network that is not ours tells nothing
	case x.written.Load():
		return PhaseReply
	case x.connected.Load():
		return PhaseSend
	case x.step != "":
		return PhaseConnect
	}
	return PhaseResolve
}

// watched has net/http tell how far the request has come.
func (x *exchange) watched(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			remote := info.Conn.RemoteAddr().String()
			x.remote.Store(&remote)
			x.connected.Store(true)
			x.hold(keptOf(info.Conn))
		},
		WroteRequest: func(info httptrace.WroteRequestInfo) { x.written.Store(info.Err == nil) },
	})
}

func (x *exchange) run(ctx context.Context) (Answer, error) {
	asking, giveUp := context.WithCancel(ctx)
	defer giveUp()
	defer x.hold(nil)
	response, err := x.send(ctx, asking)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	body := newUnsilent(response.Body, x.client.limits.Silence, giveUp)
	defer body.stop()
	response.Body = body
	answer, err := readReply(response, positive(x.call.MaxReply, DefaultMaxReply))
	if err != nil {
		return Answer{}, x.unanswered(failureOf(ctx, err), nil)
	}
	return answer, nil
}

// send finds the server and sends the request, which asking ends. Its errors are failures, or those of a resolution.
func (x *exchange) send(ctx, asking context.Context) (*http.Response, error) {
	request, err := x.request(asking)
	if err != nil {
		return nil, &Failure{Class: ClassPolicy, Err: err}
	}
	var targets []discovery.Target
	if x.client.network != nil {
		if targets, err = x.client.network.resolver.Resolve(ctx, x.dest); err != nil {
			return nil, &classified{classOfResolution(err), err}
		}
		x.step = targets[0].Step
		request = pooled(request.WithContext(x.watched(asking)), targets)
	}
	response, err := x.client.roundTripper.RoundTrip(request)
	if err != nil {
		return nil, x.unanswered(failureOf(ctx, err), targets)
	}
	return response, nil
}

// unanswered looks at a failure for what it says about the resolution: when nothing that speaks Matrix was at the targets, the
// next attempt resolves anew, and an unusable well-known document is the likelier cause than the fallback that was tried.
func (x *exchange) unanswered(failure *Failure, targets []discovery.Target) *Failure {
	switch failure.Class {
	case ClassDNS, ClassDial, ClassTLS, ClassTimeout, ClassPolicy:
		if len(targets) > 0 && targets[0].WellKnown != "" && failure.Class != ClassTimeout && failure.Class != ClassPolicy {
			failure.Class = ClassWellKnown
			failure.Err = fmt.Errorf("well-known document: %s; without it: %w", targets[0].WellKnown, failure.Err)
		}
	case ClassNotJSON:
	default:
		return failure
	}
	if x.client.network != nil {
		x.client.network.forget(x.dest, targets)
	}
	return failure
}

// request makes and signs the HTTP request. What is signed is what net/http will send: the URI is compared.
func (x *exchange) request(ctx context.Context) (*http.Request, error) {
	c, call := x.client, x.call
	if _, err := ident.ParseServerName(string(x.dest)); err != nil {
		return nil, err
	}
	if x.dest == c.self && !c.loopback {
		return nil, errors.New("the destination is this server")
	}
	if err := c.servers.Check(x.dest); err != nil {
		return nil, err
	}
	uri := call.Path
	if len(call.Query) > 0 {
		uri += "?" + call.Query.Encode()
	}
	// A bytes.Reader lets net/http rewind the body when it has to write the request again (G-H7).
	var request *http.Request
	var err error
	if call.Body == nil {
		request, err = http.NewRequestWithContext(ctx, call.Method, "https://"+string(x.dest)+uri, nil)
	} else {
		request, err = http.NewRequestWithContext(ctx, call.Method, "https://"+string(x.dest)+uri, bytes.NewReader(call.Body))
	}
	if err != nil {
		return nil, err
	}
	if request.URL.RequestURI() != uri || strings.ContainsAny(call.Path, "?#") {
		return nil, fmt.Errorf("path %q is not escaped", call.Path)
	}
	request.Header.Set("User-Agent", c.userAgent)
	request.Header.Set("Accept", cmp.Or(x.accept, "application/json"))
	if call.Body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if call.Method == http.MethodPut {
		// PUT may be repeated (RFC 9110 §9.2.2); net/http, which repeats what met a dying connection, wants to be told so.
		// An empty value is not sent.
		request.Header["Idempotency-Key"] = nil
	}
	if call.Unsigned {
		return request, nil
	}
	if call.Authorization != "" {
		request.Header.Set("Authorization", call.Authorization)
		return request, nil
	}
	signed := signing.Request{Method: call.Method, URI: uri, Origin: c.self, Destination: x.dest}
	if call.Body != nil {
		if signed.Content, err = canonicaljson.Parse(call.Body, canonicaljson.Lenient); err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
	}
	request.Header.Set("Authorization", signed.Authorization(c.key.SigningKey()))
	return request, nil
}

// targetsKey is the context key under which the transport finds where to connect; net/http hands a request's context values to
// the dial that it causes.
type targetsKey struct{}

// pooled directs request to the pool of connections for its targets. They share Host, and Host alone decides where connections
// lead and what certificate they showed, so it names the pool. Without a port it means SRV or port 8448, which net/http, thinking
// of 443, must not mix up with an explicit port: port 0, which no server has, stands for it.
func pooled(request *http.Request, targets []discovery.Target) *http.Request {
	request = request.WithContext(context.WithValue(request.Context(), targetsKey{}, targets))
	request.Host = targets[0].Host
	request.URL.Host = targets[0].Host
	if request.URL.Port() == "" {
		request.URL.Host += ":0"
	}
	return request
}
