// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/transport/discovery"
	"github.com/strata-matrix/strata/transport/dns"
	"github.com/strata-matrix/strata/transport/ident"
)

// The lists of the operator: denied blocks, and exceptions to them, also for addresses that carry another one.
func TestRanges(t *testing.T) {
	block := func(texts ...string) (list []netip.Prefix) {
		for _, text := range texts {
			list = append(list, netip.MustParsePrefix(text))
		}
		return list
	}
	for _, tt := range []struct {
		denied, allowed []netip.Prefix
		addr            string
		want            bool
	}{
		{nil, nil, "10.0.0.1", true},
		{block("10.0.0.0/8"), nil, "10.0.0.1", false},
		{block("10.0.0.0/8"), nil, "11.0.0.1", true},
		{block("10.0.0.0/8"), block("10.0.0.0/24"), "10.0.0.1", true},
		{block("10.0.0.0/8"), block("10.0.0.0/24"), "10.0.1.1", false},
		{block("10.0.0.0/8"), nil, "::ffff:10.0.0.1", false},
		{block("10.0.0.0/8"), nil, "64:ff9b::10.0.0.1", false},
		{block("10.0.0.0/8"), nil, "2002:a00:1::", false},
		{block("10.0.0.0/8"), block("10.0.0.1/32"), "64:ff9b::10.0.0.1", true},
		{block("64:ff9b::/96"), nil, "64:ff9b::8.8.8.8", false}, // the block itself counts as well
		{block("fe80::/10"), nil, "fe80::1%eth0", false},
		{block("fe80::/10"), block("fe80::1/128"), "fe80::1%eth0", true},
		{block("0.0.0.0/0"), nil, "::1", true},
	} {
		if got := (ranges{tt.denied, tt.allowed}).permit(netip.MustParseAddr(tt.addr)); got != tt.want {
			t.Errorf("%s with %v, %v: %v", tt.addr, tt.denied, tt.allowed, got)
		}
	}
}

// An exception counts in place of both lists, for every copy of the policy, and can be turned.
func TestServerPolicyExceptions(t *testing.T) {
	fixed, err := NewServerPolicy([]string{"a.example", "evil.example"}, []string{"evil"})
	if err != nil {
		t.Fatal(err)
	}
	if fixed.Except("b.example", true) == nil {
		t.Error("a policy without room for exceptions took one")
	}
	p := fixed.Adjustable()
	earlier := p
	for _, step := range []struct {
		server  ident.ServerName
		allowed bool
	}{{"b.example", true}, {"a.example", false}, {"evil.example", true}, {"a.example", true}, {"c.example", false}} {
		if err := p.Except(step.server, step.allowed); err != nil {
			t.Fatal(err)
		}
		if got := earlier.Check(step.server) == nil; got != step.allowed {
			t.Errorf("%s after an exception: %t, want %t", step.server, got, step.allowed)
		}
	}
	if got := fixed.Check("b.example"); !errors.Is(got, ErrNotFederated) {
		t.Errorf("the policy that it was made of: %v", got)
	}
	if got := p.Exceptions(); len(got) != 4 || got["c.example"] || !got["evil.example"] {
		t.Errorf("exceptions are %v", got)
	}
}

// New lists count for every copy of an adjustable policy; what operators have said of single servers stays.
func TestServerPolicyReplaced(t *testing.T) {
	var open ServerPolicy
	p := open.Adjustable()
	earlier := p
	if err := p.Except("friend.example", true); err != nil {
		t.Fatal(err)
	}
	narrow, err := NewServerPolicy([]string{"a.example"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	p.Replace(narrow)
	for server, want := range map[ident.ServerName]bool{"a.example": true, "b.example": false, "friend.example": true} {
		if got := earlier.Check(server) == nil; got != want {
			t.Errorf("%s: %t, want %t", server, got, want)
		}
	}
	if open.Replace(narrow); open.Check("b.example") != nil {
		t.Error("a policy that cannot change has changed")
	}
	p.Replace(open)
	if err := earlier.Check("b.example"); err != nil {
		t.Errorf("open again: %v", err)
	}
}

func TestServerPolicy(t *testing.T) {
	for _, tt := range []struct {
		only, never []string
		server      ident.ServerName
		want        bool
	}{
		{nil, nil, "a.example", true},
		{[]string{}, nil, "a.example", false},
		{[]string{"a.example"}, nil, "a.example", true},
		{[]string{"a.example"}, nil, "b.a.example", false},
		{[]string{"a.example"}, nil, "A.example", false}, // names compare byte for byte
		{nil, []string{`a\.example$`}, "a.example", false},
		{nil, []string{`a\.example$`}, "b.a.example", false},
		{nil, []string{`a\.example$`}, "a.example.org", true},
		{[]string{"a.example"}, []string{"^a"}, "a.example", false},
	} {
		policy, err := NewServerPolicy(tt.only, tt.never)
		if err != nil {
			t.Fatal(err)
		}
		if err := policy.Check(tt.server); (err == nil) != tt.want || err != nil && !errors.Is(err, ErrNotFederated) {
			t.Errorf("%s with %v, %v: %v", tt.server, tt.only, tt.never, err)
		}
	}
	if _, err := NewServerPolicy([]string{"a b"}, nil); err == nil {
		t.Error("a b is a server name")
	}
	if _, err := NewServerPolicy(nil, []string{"("}); err == nil {
		t.Error("( is a pattern")
	}
}

// The lists hold in both directions: nothing is sent, and what comes is refused before anything is done for it.
func TestServerPolicyBothWays(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, ca, ok, "s.example")
	policy, err := NewServerPolicy(nil, []string{`^(s|peer)\.example`})
	if err != nil {
		t.Fatal(err)
	}
	client := newTestClient(t, ca, at("s.example", p.port), func(c *setup) { c.Servers = policy })
	_, err = client.Do(t.Context(), "s.example", Call{Method: "GET", Path: "/x"})
	if got := failed(t, err); got.Class != ClassPolicy || !errors.Is(err, ErrNotFederated) || p.connected() != 0 {
		t.Errorf("out: %v, %d connections", err, p.connected())
	}
	sources := &knownKeys{}
	s, _ := newTestServer(t, func(c *ServerConfig) { c.Servers, c.Keys = policy, sources })
	key := testKey(t, "ed25519:1", 7)
	request, err := http.NewRequest("GET", "https://self.example/_matrix/federation/v1/event/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", authorize(key, "GET", "/_matrix/federation/v1/event/x", "peer.example", "self.example", ""))
	w := &answerWriter{header: http.Header{}}
	s.ServeHTTP(w, request)
	if w.status != http.StatusForbidden || !strings.Contains(w.body.String(), "M_FORBIDDEN") || sources.asked != 0 {
		t.Errorf("in: status %d, %s, asked for %d keys", w.status, &w.body, sources.asked)
	}
}

// Requests to ourselves are a mistake, but for who asks for them.
func TestLoopback(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, ca, ok, "origin.example")
	for _, loopback := range []bool{false, true} {
		client := newTestClient(t, ca, at("origin.example", p.port), func(c *setup) { c.Loopback = loopback })
		if _, err := client.Do(t.Context(), "origin.example", Call{Method: "GET", Path: "/x"}); (err == nil) != loopback {
			t.Errorf("loopback %v: %v", loopback, err)
		}
	}
}

// answerWriter takes a reply without a connection.
type answerWriter struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *answerWriter) Header() http.Header         { return w.header }
func (w *answerWriter) WriteHeader(status int)      { w.status = status }
func (w *answerWriter) Write(p []byte) (int, error) { return w.body.Write(p) }

// certificates go unchecked only for whom the operator says so; for no well-known document.
func TestUnverified(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, newIssuer(t), ok, "other.example") // neither a known authority nor the right name
	for _, tt := range []struct {
		trust Trust
		dest  string
		want  Class
	}{
		{Trust{}, "s.example", ClassTLS},
		{Trust{Unverified: true}, "s.example", ""},
		{Trust{UnverifiedNames: []string{"s.example"}}, "s.example", ""},
		{Trust{UnverifiedNames: []string{"*.EXAMPLE"}}, "s.example", ""},
		{Trust{UnverifiedNames: []string{"?.example"}}, "s.example", ""},
		{Trust{UnverifiedNames: []string{"s.exampl", "t.example", "xexample"}}, "s.example", ClassTLS},
		{Trust{UnverifiedNames: []string{"target.example"}}, "s.example", ClassTLS}, // not the name of the SRV target
		{Trust{UnverifiedNames: []string{"127.0.0.0/8"}}, p.address(), ""},
		{Trust{UnverifiedNames: []string{"127.0.0.0/8"}}, "s.example", ClassTLS}, // for servers named by address
	} {
		client := newTestClient(t, ca, at("s.example", p.port), func(c *setup) {
			tt.trust.Roots = ca.pool
			c.net.Trust = tt.trust
		})
		_, err := client.Do(t.Context(), ident.ServerName(tt.dest), Call{Method: "GET", Path: "/x"})
		got := Class("")
		if err != nil {
			got = failed(t, err).Class
		}
		if got != tt.want {
			t.Errorf("%+v: %s: %v, want %q", tt.trust, tt.dest, err, tt.want)
		}
	}
	network, err := NewNetwork(NetworkConfig{Trust: Trust{Unverified: true, Roots: ca.pool}, AllowPrivate: true, DNS: at("s.example")})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("https://s.example:%d/x", p.port), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := network.web.RoundTrip(request); err == nil {
		t.Error("a document was fetched without checking the certificate (X-22)")
	}
}

// The oldest version of TLS is the operator's to choose, and the secrets go to the log that is asked for.
func TestTLSVersionAndKeyLog(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, ca, ok, "s.example")
	var log bytes.Buffer
	client := newTestClient(t, ca, at("s.example", p.port), func(c *setup) { c.net.Trust.MinVersion, c.net.Trust.KeyLog = tls.VersionTLS13, &log })
	if _, err := client.Do(t.Context(), "s.example", Call{Method: "GET", Path: "/x"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log.String(), "CLIENT_TRAFFIC_SECRET_0 ") {
		t.Errorf("log: %q", log.String())
	}
	if got := (Trust{MinVersion: tls.VersionTLS10}).config().MinVersion; got != tls.VersionTLS12 {
		t.Errorf("TLS %x is spoken", got)
	}
}

// an SRV target that is an alias is not connected to; a plain host may be one.
func TestAliases(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, ca, ok, "s.example")
	names := at("s.example", p.port)
	names.alias = map[string]string{"target.example": "other.example", "s.example": "other.example"}
	client := newTestClient(t, ca, names)
	_, err := client.Do(t.Context(), "s.example", Call{Method: "GET", Path: "/x"})
	if got := failed(t, err); got.Class != ClassSRV || !errors.Is(err, errAlias) || p.connected() != 0 {
		t.Errorf("target: %v", err)
	}
	if _, err := client.Do(t.Context(), ident.ServerName(fmt.Sprintf("s.example:%d", p.port)), Call{Method: "GET", Path: "/x"}); err != nil {
		t.Errorf("host: %v", err)
	}
	// Another target that is none is used.
	names.srv["_matrix-fed._tcp.s.example"] = append(names.srv["_matrix-fed._tcp.s.example"],
		dns.Service{Target: "good.example", Port: p.port, Priority: 9})
	names.hosts["good.example"] = []string{"127.0.0.1"}
	if _, err := client.Do(t.Context(), "s.example", Call{Method: "GET", Path: "/x"}); err != nil {
		t.Errorf("other target: %v", err)
	}
}

// a wrong server at one address of a host does not hide the right one at another.
func TestBadCertificateAtOneAddress(t *testing.T) {
	ca := newIssuer(t)
	right := newPeer(t, ca, ok, "s.example")
	d := &dialer{
		open: openTCP, keeper: newKeeper(1), hosts: &fakeDNS{hosts: map[string][]string{"s.example": {"127.0.0.2", "127.0.0.1"}}}, tls: Trust{Roots: ca.pool}.config(),
	}
	wrong := newPeerAt(t, newIssuer(t), ok, fmt.Sprintf("127.0.0.2:%d", right.port), "s.example")
	target := discovery.Target{Address: fmt.Sprintf("s.example:%d", right.port), Host: "s.example", TLSName: "s.example"}
	conn, err := d.dialTarget(t.Context(), target)
	if err != nil || wrong.connected() != 1 {
		t.Fatalf("%v, %d connections to the wrong one", err, wrong.connected())
	}
	conn.Close()
}

// DNS rebinding: the first answer is public, the next one private. What was judged is what is dialled, each time.
func TestRebinding(t *testing.T) {
	ca := newIssuer(t)
	p := newPeer(t, ca, ok, "s.example")
	for _, private := range []string{"127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::1"} {
		names := &rebinding{answers: []string{"192.0.0.9", private}, ok: "192.0.0.9"}
		d := &dialer{open: openTCP, hosts: names, ranges: ranges{DefaultDenied, []netip.Prefix{netip.MustParsePrefix("192.0.0.9/32")}}}
		address := fmt.Sprintf("s.example:%d", p.port)
		if _, addrs, err := d.lookup(t.Context(), address, false); err != nil || addrs[0].String() != "192.0.0.9" {
			t.Errorf("%s: first: %v, %v", private, addrs, err)
		}
		if conn, err := d.dial(t.Context(), "tcp", address); !errors.Is(err, errRange) {
			t.Errorf("%s: connected: %v, %v", private, conn, err)
		}
	}
	if p.connected() != 0 {
		t.Errorf("%d connections", p.connected())
	}
}

// rebinding gives another answer each time.
type rebinding struct {
	answers []string
	ok      string
}

func (r *rebinding) Addresses(_ context.Context, host string, _ bool) (dns.Addresses, error) {
	next := r.answers[0]
	r.answers = r.answers[1:]
	return dns.Addresses{Host: host, Canonical: host, List: []netip.Addr{netip.MustParseAddr(next)}}, nil
}

// A reply that stops in its middle is given up long before the request's own time is over.
func TestSilentReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := NewClient(ClientConfig{
			ServerName: "origin.example", Key: testKey(t, "ed25519:1", 1), Limits: ClientLimits{Silence: 5 * time.Second, Timeout: time.Hour},
			RoundTripper: dripping{pieces: 3, pause: 4 * time.Second},
		})
		begun := time.Now()
		_, err := client.Do(t.Context(), "s.example", Call{Method: "GET", Path: "/x"})
		if got := failed(t, err); got.Class != ClassTimeout || time.Since(begun) != 3*4*time.Second+5*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

// dripping replies in pieces with a pause before each, and then falls silent.
type dripping struct {
	pieces int
	pause  time.Duration
}

func (d dripping) RoundTrip(r *http.Request) (*http.Response, error) {
	body := &drip{d, r.Context()}
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, ContentLength: -1, Request: r}, nil
}

type drip struct {
	dripping
	ctx context.Context
}

func (d *drip) Read(p []byte) (int, error) {
	if d.pieces--; d.pieces < 0 {
		<-d.ctx.Done()
		return 0, d.ctx.Err()
	}
	time.Sleep(d.pause)
	return copy(p, "{"), nil
}

func (*drip) Close() error { return nil }
