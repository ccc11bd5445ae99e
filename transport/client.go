// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"cmp"
	"context"
	"fmt"
	"net/http"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/keys"
	"github.com/strata-matrix/strata/transport/signing"
)

// ClientConfig is what a Client works with. ServerName and Key are needed, and one of Network and RoundTripper.
type ClientConfig struct {
	ServerName ident.ServerName
	Key        signing.Signer
	// Network leads to other servers. It stays its maker's to close.
	Network *Network
	// RoundTripper takes the place of Network: it gets requests for https://<server name><path>. The simulated network is one.
	RoundTripper http.RoundTripper
	// Servers are those to send requests to.
	Servers ServerPolicy
	// Loopback permits requests to ServerName itself, which are a mistake but for tests.
	Loopback  bool
	UserAgent string // "Strata" when empty
	Limits    ClientLimits
	Trace     trace.Sink
}

// Client sends requests to other servers. Everything about it is immutable, and it is safe for concurrent use. It retries nothing:
// when to try again is its caller's business.
type Client struct {
	self      ident.ServerName
	key       signing.Signer
	servers   ServerPolicy
	loopback  bool
	userAgent string
	limits    ClientLimits
	trace     trace.Sink

	roundTripper http.RoundTripper
	network      *Network // nil with a given RoundTripper
}

// NewClient makes a client.
func NewClient(config ClientConfig) *Client {
	c := &Client{
		self:         config.ServerName,
		key:          config.Key,
		servers:      config.Servers,
		loopback:     config.Loopback,
		userAgent:    cmp.Or(config.UserAgent, "Strata"),
		limits:       config.Limits.orDefault(),
		trace:        trace.OrDiscard(config.Trace),
		roundTripper: config.RoundTripper,
		network:      config.Network,
	}
	if c.roundTripper == nil {
		c.roundTripper = c.network.servers
	} else {
		c.network = nil
	}
	return c
}

// Federates gives an error that wraps ErrNotFederated when our policy keeps us apart from server.
func (c *Client) Federates(server ident.ServerName) error { return c.servers.Check(server) }

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
