// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/discovery"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

// DNS is what the client asks the DNS. *net.Resolver is one.
type DNS interface {
	discovery.SRV
	HostLookup
}

// ClientConfig is what a Client works with. ServerName and Key are needed.
type ClientConfig struct {
	ServerName ident.ServerName
	Key        signing.Signer
	// RoundTripper takes the place of discovery, TLS and connections: it gets requests for https://<server name><path>. The
	// simulated network is one. Nil is the real network.
	RoundTripper http.RoundTripper
	// RootCAs are the certificate authorities to trust, nil for the system's.
	RootCAs *x509.CertPool
	// AllowPrivate permits connections to private and local addresses.
	AllowPrivate bool
	// DNS is net.DefaultResolver when nil.
	DNS       DNS
	UserAgent string // "Strata" when empty
	Limits    ClientLimits
	Trace     trace.Sink
}

// Client sends requests to other servers. It holds their connections; everything else about it is immutable, and it is safe for
// concurrent use. It retries nothing: when to try again is its caller's business.
type Client struct {
	self      ident.ServerName
	key       signing.Signer
	userAgent string
	limits    ClientLimits
	trace     trace.Sink

	roundTripper http.RoundTripper
	resolver     *discovery.Resolver // nil with a given RoundTripper
	pools        []*http.Transport   // ours to close
}

// NewClient makes a client. It opens no connection before the first request.
func NewClient(config ClientConfig) *Client {
	c := &Client{
		self:         config.ServerName,
		key:          config.Key,
		userAgent:    config.UserAgent,
		limits:       config.Limits.orDefault(),
		trace:        trace.OrDiscard(config.Trace),
		roundTripper: config.RoundTripper,
	}
	if c.userAgent == "" {
		c.userAgent = "Strata"
	}
	if c.roundTripper != nil {
		return c
	}
	dns := config.DNS
	if dns == nil {
		dns = net.DefaultResolver
	}
	d := &dialer{hosts: dns, allowPrivate: config.AllowPrivate, tls: clientTLS(config.RootCAs)}
	documents := newWellKnownTransport(d)
	servers := newServerTransport(d, c.limits)
	c.roundTripper = servers
	c.pools = []*http.Transport{documents, servers}
	c.resolver = discovery.NewResolver(discovery.Config{
		Transport: documents, SRV: dns, UserAgent: c.userAgent, Trace: c.trace,
	})
	return c
}

// sessionCache is how many TLS sessions are kept to be resumed, at about 2 KiB each: resuming doubles the rate of handshakes.
const sessionCache = 4096

func clientTLS(roots *x509.CertPool) *tls.Config {
	return &tls.Config{
		RootCAs:            roots,
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"h2", "http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(sessionCache),
	}
}

// newWellKnownTransport carries the requests of discovery: ordinary HTTPS on port 443, through the guarded dialer.
func newWellKnownTransport(d *dialer) *http.Transport {
	config := d.tls.Clone()
	config.NextProtos = nil // net/http sets its own
	return &http.Transport{
		DialContext:            d.dial,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    handshakeTimeout,
		ForceAttemptHTTP2:      true,
		DisableKeepAlives:      true, // one document per host and day
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
}

// newServerTransport carries signed requests. The place to connect to travels in the request's context, see pooled.
func newServerTransport(d *dialer, limits ClientLimits) *http.Transport {
	const (
		pingAfter = 30 * time.Second // without a frame, ask whether an HTTP/2 connection is alive
		pingWait  = 15 * time.Second
	)
	return &http.Transport{
		DialTLSContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			targets, _ := ctx.Value(targetsKey{}).([]discovery.Target)
			if targets == nil {
				return nil, &classified{ClassPolicy, fmt.Errorf("connect to %s without a resolved target", address)}
			}
			return d.dialTargets(ctx, targets)
		},
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           limits.IdleConnections,
		MaxIdleConnsPerHost:    2,
		MaxConnsPerHost:        limits.ConnectionsPerServer,
		IdleConnTimeout:        limits.IdleTime,
		ResponseHeaderTimeout:  0, // the request's own deadline covers it
		MaxResponseHeaderBytes: maxHeaderBytes,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingWait},
	}
}

// FetchKeys gets the signing keys of server as it publishes them, unverified: GET /_matrix/key/v2/server, which is not signed
//
func (c *Client) FetchKeys(ctx context.Context, server ident.ServerName) ([]byte, error) {
	answer, err := c.Do(ctx, server, Call{
		Method: http.MethodGet, Path: keyServerPath, Unsigned: true, MaxReply: maxKeyReply,
	})
	if err != nil {
		return nil, fmt.Errorf("fetch keys of %s: %w", server, err)
	}
	return answer.Body, nil
}

// QueryKeys asks a notary for the signing keys of other servers: POST /_matrix/key/v2/query, which is not signed. The body
// is as the specification says, and so is the reply, of which nothing is verified.
func (c *Client) QueryKeys(ctx context.Context, notary ident.ServerName, body []byte) ([]byte, error) {
	answer, err := c.Do(ctx, notary, Call{
		Method: http.MethodPost, Path: keyQueryPath, Body: body, Unsigned: true, MaxReply: keys.MaxTestimony,
	})
	if err != nil {
		return nil, fmt.Errorf("ask %s for keys: %w", notary, err)
	}
	return answer.Body, nil
}

// Close closes idle connections. Running requests go on.
func (c *Client) Close() {
	for _, pool := range c.pools {
		pool.CloseIdleConnections()
	}
}
