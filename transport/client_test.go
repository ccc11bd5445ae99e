// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/discovery"
	"github.com/strata-matrix/strata/transport/dns"
	"github.com/strata-matrix/strata/transport/signing"
)

var quiet = log.New(io.Discard, "", 0)

// setup is what a test may change of a client and its network.
type setup struct {
	ClientConfig
	net NetworkConfig
}

func newTestClient(t testing.TB, ca *issuer, names DNS, change ...func(*setup)) *Client {
	t.Helper()
	config := setup{
		ClientConfig{ServerName: "origin.example", Key: testKey(t, "ed25519:1", 1)},
		NetworkConfig{Trust: Trust{Roots: ca.pool}, AllowPrivate: true, DNS: names},
	}
	for _, f := range change {
		f(&config)
	}
	config.net.Limits, config.net.Trace = config.Limits, config.Trace
	network, err := NewNetwork(config.net)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(network.Close)
	config.Network = network
	return NewClient(config.ClientConfig)
}

// at is a DNS in which host lives on this machine, its port told by SRV.
func at(host string, ports ...uint16) *fakeDNS {
	names := &fakeDNS{hosts: map[string][]string{host: {"127.0.0.1"}, "target.example": {"127.0.0.1"}}, srv: map[string][]dns.Service{}}
	for i, port := range ports {
		name := "_matrix-fed._tcp." + host
		names.srv[name] = append(names.srv[name], dns.Service{Target: "target.example", Port: port, Priority: uint16(i)})
	}
	return names
}

func failed(t *testing.T, err error) *Failure {
	t.Helper()
	var failure *Failure
	if !errors.As(err, &failure) {
		t.Fatalf("got error %v, want a *Failure", err)
	}
	return failure
}

func ok(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) }

// what reaches the peer is addressed to the server name, and signed as sent.
func TestRequestAsReceived(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, ca, ok, "s.example")
	client := newTestClient(t, ca, at("s.example", p.port))
	body := `{"a":"<&>é","b":1}`
	answer, err := client.Do(t.Context(), "s.example", Call{
		Method: "PUT", Path: Path("_matrix", "federation", "v2", "send_join", "!r:x", "$a/b+c%"),
		Query: url.Values{"omit_members": {"true"}, "v": {"$x/y", "$z"}}, Body: []byte(body),
	})
	if err != nil || answer.Status != 200 || string(answer.Body) != "{}" {
		t.Fatalf("got %+v, %v", answer, err)
	}
	got := p.requests[0]
	uri := "/_matrix/federation/v2/send_join/%21r:x/$a%2Fb+c%25?omit_members=true&v=%24x%2Fy&v=%24z"
	if got.RequestURI != uri && got.RequestURI != strings.Replace(uri, "%21", "!", 1) { // both are right for "!"
		t.Errorf("URI %s, want %s", got.RequestURI, uri)
	}
	if got.Host != "s.example" || got.TLS.ServerName != "s.example" || got.ProtoMajor != 2 {
		t.Errorf("Host %q, SNI %q, %s", got.Host, got.TLS.ServerName, got.Proto)
	}
	if p.bodies[0] != body || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("body %s as %q", p.bodies[0], got.Header.Get("Content-Type"))
	}
	if _, sent := got.Header["Idempotency-Key"]; sent {
		t.Error("Idempotency-Key was sent")
	}
	credentials, err := signing.ParseAuthorization(got.Header.Get("Authorization"))
	if err != nil {
		t.Fatal(err)
	}
	// The signature is compared with one made by hand: Ed25519 is deterministic.
	want, err := signing.ParseAuthorization(
		authorize(testKey(t, "ed25519:1", 1), "PUT", got.RequestURI, "origin.example", "s.example", body))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, credentials); diff != "" {
		t.Errorf("credentials: -want +got\n%s", diff)
	}
}

// a PUT or POST with nothing to say carries an empty object, a GET nothing.
func TestEmptyBody(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, ca, ok, "s.example")
	client := newTestClient(t, ca, at("s.example", p.port))
	for _, method := range []string{"PUT", "POST", "GET"} {
		if _, err := client.Do(t.Context(), "s.example", Call{Method: method, Path: "/x"}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"{}", "{}", ""}, p.bodies); diff != "" {
		t.Errorf("bodies: -want +got\n%s", diff)
	}
}

// key requests carry no signature, and the Matrix path without a trailing slash.
func TestFetchKeys(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, ca, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"server_name":"s.example"}`) }, "s.example")
	body, err := newTestClient(t, ca, at("s.example", p.port)).FetchKeys(t.Context(), "s.example")
	if err != nil || string(body) != `{"server_name":"s.example"}` {
		t.Fatalf("got %s, %v", body, err)
	}
	if got := p.requests[0]; got.RequestURI != "/_matrix/key/v2/server" || got.Header.Get("Authorization") != "" {
		t.Errorf("%s with Authorization %q", got.RequestURI, got.Header.Get("Authorization"))
	}
}

// so is a request to a notary.
func TestQueryKeys(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, ca, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"server_keys":[]}`) }, "s.example")
	const question = `{"server_keys":{"a.example":{}}}`
	body, err := newTestClient(t, ca, at("s.example", p.port)).QueryKeys(t.Context(), "s.example", []byte(question))
	if err != nil || string(body) != `{"server_keys":[]}` {
		t.Fatalf("got %s, %v", body, err)
	}
	got := p.requests[0]
	if got.Method != "POST" || got.RequestURI != "/_matrix/key/v2/query" || got.Header.Get("Authorization") != "" || p.bodies[0] != question {
		t.Errorf("%s %s with Authorization %q: %s", got.Method, got.RequestURI, got.Header.Get("Authorization"), p.bodies[0])
	}
}

// Each reply that is no success, with its class (X-05, X-06, G-C7).
func TestReplyClasses(t *testing.T) {
	endless := strings.Repeat(" ", 1<<20)
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		want    Failure
	}{
		{"401", reply(401, `{"errcode":"M_UNAUTHORIZED","error":"who?"}`), Failure{Class: Class4xxAuth, Status: 401, Code: "M_UNAUTHORIZED", Message: "who?"}},
		{"401 other code", reply(401, `{"errcode":"M_FORBIDDEN","error":"x"}`), Failure{Class: Class4xxAuth, Status: 401, Code: "M_FORBIDDEN", Message: "x"}},
		{"403", reply(403, `{"errcode":"M_FORBIDDEN","error":"no"}`), Failure{Class: Class4xxContent, Status: 403, Code: "M_FORBIDDEN", Message: "no"}},
		{"404", reply(404, `{"errcode":"M_UNRECOGNIZED","error":"no"}`), Failure{Class: Class4xxContent, Status: 404, Code: "M_UNRECOGNIZED", Message: "no"}},
		{"odd members", reply(400, `{"errcode":"M_X","error":5,"retry_after_ms":{}}`), Failure{Class: Class4xxContent, Status: 400, Code: "M_X"}},
		{"403 of a CDN", reply(403, "<html>denied</html>"), Failure{Class: ClassNotJSON, Status: 403}},
		{"404 without errcode", reply(404, `{"error":"x"}`), Failure{Class: ClassNotJSON, Status: 404, Message: "x"}},
		{"500", reply(500, `{"errcode":"M_UNKNOWN","error":"x"}`), Failure{Class: Class5xx, Status: 500, Code: "M_UNKNOWN", Message: "x"}},
		{"502 of a proxy", reply(502, "<html>"), Failure{Class: Class5xx, Status: 502}},
		{"302", reply(302, `{}`, "Location", "https://s.example/other"), Failure{Class: ClassNotJSON, Status: 302}},
		{"200 HTML", reply(200, "<html>"), Failure{Class: ClassNotJSON, Status: 200}},
		{"200 empty", reply(200, ""), Failure{Class: ClassNotJSON, Status: 200}},
		{"200 number", reply(200, "1"), Failure{Class: ClassNotJSON, Status: 200}},
		{"200 cut JSON", reply(200, `{"a":`), Failure{Class: ClassNotJSON, Status: 200}},
		{"200 two values", reply(200, `{}{}`), Failure{Class: ClassNotJSON, Status: 200}},
		{"200 endless", forever(200, endless), Failure{Class: ClassNotJSON, Status: 200}},
		{"500 endless", forever(500, endless), Failure{Class: Class5xx, Status: 500}},
		{"broken off", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "{")
			panic(http.ErrAbortHandler)
		}, Failure{Class: ClassDial}},
		{"429", reply(429, `{"errcode":"M_LIMIT_EXCEEDED","error":"x","retry_after_ms":1500}`),
			Failure{Class: Class429, Status: 429, Code: "M_LIMIT_EXCEEDED", Message: "x", RetryAfter: 1500 * time.Millisecond}},
		{"429 header first", reply(429, `{"errcode":"M_LIMIT_EXCEEDED","error":"x","retry_after_ms":1500}`, "Retry-After", "7"),
			Failure{Class: Class429, Status: 429, Code: "M_LIMIT_EXCEEDED", Message: "x", RetryAfter: 7 * time.Second}},
		{"429 of a proxy", reply(429, "slow", "Retry-After", "7"), Failure{Class: Class429, Status: 429, RetryAfter: 7 * time.Second}},
		{"503 with date long past", reply(503, "x", "Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT"), Failure{Class: Class5xx, Status: 503}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ca := newIssuer(t)
			p := newPeer(t, ca, tt.handler, "s.example")
			client := newTestClient(t, ca, at("s.example", p.port))
			_, err := client.Do(t.Context(), "s.example", Call{Method: "GET", Path: "/_matrix/x", MaxReply: 4 << 20})
			got := *failed(t, err)
			if got.Code == "" && got.Err == nil {
				t.Error("neither code nor cause")
			}
			got.Err = nil
			tt.want.Phase = PhaseReply
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if len(p.requests) != 1 {
				t.Errorf("%d requests, want 1: redirects are not followed and nothing is retried", len(p.requests))
			}
		})
	}
}

func reply(status int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

func forever(status int, chunk string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		for {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	}
}

// header before member, both forms of the header, never more than the cap and never negative (G-H9).
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		header, millis string
		want           time.Duration
	}{
		{"", "", 0}, {"5", "", 5 * time.Second}, {"", "250", 250 * time.Millisecond}, {"5", "250", 5 * time.Second},
		{"Wed, 01 Jul 2026 12:01:00 GMT", "", time.Minute}, {"Wed, 01 Jul 2026 11:00:00 GMT", "9", 0},
		{"soon", "250", 250 * time.Millisecond}, {"-5", "", 0}, {"", "-1", 0}, {"1e30", "", MaxRetryAfter},
		{"", "99999999999999999999999", MaxRetryAfter}, {"Inf", "", MaxRetryAfter}, {"-Inf", "", 0},
	} {
		if got := retryAfter(tt.header, tt.millis, now); got != tt.want {
			t.Errorf("retryAfter(%q, %q) = %v, want %v", tt.header, tt.millis, got, tt.want)
		}
	}
	if got := retryAfter("NaN", "NaN", now); got < 0 || got > MaxRetryAfter {
		t.Errorf("NaN: %v", got)
	}
}

func TestTimeoutAndCancel(t *testing.T) {
	ca := newIssuer(t)
	arrived := make(chan struct{}, 1)
	p := newPeer(t, ca, func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cancel" {
			arrived <- struct{}{}
		}
		<-r.Context().Done()
	}, "s.example")
	client := newTestClient(t, ca, at("s.example", p.port))
	for timeout := 50 * time.Millisecond; ; timeout *= 2 { // on a busy machine the handshake alone may take longer
		_, err := client.Do(t.Context(), "s.example", Call{Method: "GET", Path: "/timeout", Timeout: timeout})
		got := failed(t, err)
		if got.Class != ClassTimeout {
			t.Errorf("got %v in phase %q, want timeout", err, got.Phase)
		}
		if got.Phase == PhaseReply || t.Failed() {
			break
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	_, err := client.Do(ctx, "s.example", Call{Method: "GET", Path: "/cancel"})
	if got := failed(t, err); got.Class != ClassCanceled || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

// G-H7: the body is whole when the first target fails, and when a kept connection turns out to be dead.
func TestBodyIsRewound(t *testing.T) {
	ca := newIssuer(t)
	closed, closedPort := listen(t)
	closed.Close()
	wrong := newPeer(t, ca, ok, "wrong.example")
	p := newPeer(t, ca, ok, "s.example")
	client := newTestClient(t, ca, at("s.example", closedPort, wrong.port, p.port))
	_, err := client.Do(t.Context(), "s.example", Call{Method: "PUT", Path: "/x", Body: []byte(`{"a":"bcd"}`)})
	if err != nil || len(p.bodies) != 1 || p.bodies[0] != `{"a":"bcd"}` {
		t.Errorf("bodies %q, %v", p.bodies, err)
	}

	// An HTTP/1.1 server that reads the second request of a connection, and hangs up on it.
	config := ca.config(t, "s.example")
	listener, port := listen(t)
	bodies := make(chan string, 4)
	go func() {
		for {
			raw, err := listener.Accept()
			if err != nil {
				return
			}
			conn := tls.Server(raw, config)
			answerOnce(conn, bodies)
		}
	}()
	client = newTestClient(t, ca, at("s.example", port))
	for range 2 {
		if _, err := client.Do(t.Context(), "s.example", Call{Method: "PUT", Path: "/x", Body: []byte(`{"a":"bcd"}`)}); err != nil {
			t.Fatal(err)
		}
		if got := <-bodies; got != `{"a":"bcd"}` {
			t.Errorf("body %q", got)
		}
	}
}

// An unusable well-known document is told as the cause when the fallback fails too.
func TestWellKnownClass(t *testing.T) {
	dead := fmt.Errorf("dead")
	failure := (&exchange{client: &Client{}}).unanswered(
		failureOf(t.Context(), &classified{ClassDial, dead}), targetsWith("status 500"))
	if failure.Class != ClassWellKnown || !errors.Is(failure, dead) || !strings.Contains(failure.Error(), "status 500") {
		t.Errorf("got %v", failure)
	}
	failure = (&exchange{client: &Client{}}).unanswered(failureOf(t.Context(), &classified{ClassDial, dead}), targetsWith(""))
	if failure.Class != ClassDial {
		t.Errorf("got %v", failure)
	}
}

// With a given round tripper there is no discovery: the URL is that of the server name.
func TestGivenRoundTripper(t *testing.T) {
	var urls []string
	network := roundTripper(func(r *http.Request) (*http.Response, error) {
		urls = append(urls, r.URL.String())
		w := httptest.NewRecorder()
		w.WriteString(`{"a":1}`)
		return w.Result(), nil
	})
	client := NewClient(ClientConfig{ServerName: "origin.example", Key: testKey(t, "ed25519:1", 1), RoundTripper: network})
	answer, err := client.Do(t.Context(), "sim.example", Call{Method: "GET", Path: Path("_matrix", "$a/b"), Query: url.Values{"q": {"1"}}})
	if err != nil || string(answer.Body) != `{"a":1}` {
		t.Errorf("got %s, %v", answer.Body, err)
	}
	if diff := cmp.Diff([]string{"https://sim.example/_matrix/$a%2Fb?q=1"}, urls); diff != "" {
		t.Error(diff)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A path that is not escaped would be sent differently from how it was signed.
func TestUnescapedPathIsRefused(t *testing.T) {
	client := NewClient(ClientConfig{ServerName: "origin.example", Key: testKey(t, "ed25519:1", 1), RoundTripper: http.DefaultTransport})
	for _, path := range []string{"/a b", "/a?b", "a", "", "/%zz", "/#x", "/é"} {
		_, err := client.Do(t.Context(), "s.example", Call{Method: "GET", Path: path, Query: url.Values{"x": {"1"}}})
		if got := failed(t, err); got.Class != ClassPolicy {
			t.Errorf("path %q: %v", path, err)
		}
	}
}

func targetsWith(wellKnown string) []discovery.Target {
	return []discovery.Target{{Address: "s.example:8448", Host: "s.example", TLSName: "s.example", WellKnown: wellKnown}}
}

// answerOnce answers one request on conn, takes in the next one and hangs up without a word.
func answerOnce(conn net.Conn, bodies chan<- string) {
	go func() {
		defer conn.Close()
		buffered := bufio.NewReader(conn)
		for answered := false; ; answered = true {
			request, err := http.ReadRequest(buffered)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(request.Body)
			if answered {
				return
			}
			bodies <- string(body)
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
		}
	}()
}
