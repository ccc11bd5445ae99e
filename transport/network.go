// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/discovery"
	"github.com/strata-matrix/strata/transport/dns"
	"github.com/strata-matrix/strata/transport/ident"
)

// DNS is what is asked of the DNS, which keeps its answers. *dns.Client is one.
type DNS interface {
	discovery.DNS
	Hosts
	Kept() []dns.Record
	Len() int
}

// NetworkConfig is what a Network works with. The zero value is the open federation.
type NetworkConfig struct {
	// DNS is a new client of this machine's servers when nil.
	DNS DNS
	// AllowPrivate permits connections to private and local addresses: nothing is denied but what DeniedRanges says.
	AllowPrivate bool
	// DeniedRanges take the place of DefaultDenied when not nil. AllowedRanges are exceptions.
	DeniedRanges, AllowedRanges []netip.Prefix
	Trust                       Trust
	// WellKnownTimeout is for one well-known document with its redirects; 10 s when zero.
	WellKnownTimeout time.Duration
	UserAgent        string // "Strata" when empty
	// Limits bound the connections that are kept.
	Limits ClientLimits
	Trace  trace.Sink
}

// Network is the way to other servers: discovery, the one dialer that every connection goes through, and the connections that
// are kept. It knows who is asked, not who asks. It is safe for concurrent use.
type Network struct {
	userAgent string
	dns       DNS
	dialer    *dialer
	resolver  *discovery.Resolver
	web       *http.Transport // well-known documents
	servers   *http.Transport // Matrix servers
}

// NewNetwork makes a Network. It opens no connection before it is used. The error is about the names in Trust.
func NewNetwork(config NetworkConfig) (*Network, error) {
	n := &Network{userAgent: cmp.Or(config.UserAgent, "Strata"), dns: config.DNS}
	if n.dns == nil {
		n.dns = dns.NewClient(dns.Config{})
	}
	unverified, err := config.Trust.exceptions()
	if err != nil {
		return nil, fmt.Errorf("servers whose certificates are not verified: %w", err)
	}
	denied := config.DeniedRanges
	if denied == nil && !config.AllowPrivate {
		denied = DefaultDenied
	}
	limits := config.Limits.orDefault()
	n.dialer = &dialer{
		keeper: newKeeper(limits.IdleConnections), hosts: n.dns, ranges: ranges{denied, config.AllowedRanges}, open: openTCP, tls: config.Trust.config(), unverified: unverified,
	}
	n.web = newWebTransport(n.dialer)
	n.servers = newServerTransport(n.dialer, limits)
	n.resolver = discovery.NewResolver(discovery.Config{
		Transport: n.web, DNS: n.dns, UserAgent: n.userAgent, WellKnownTimeout: config.WellKnownTimeout, Trace: config.Trace,
	})
	return n, nil
}

// newWebTransport carries requests to web servers, which are no Matrix servers and found without discovery: those for well-known
// documents. It is ordinary HTTPS through the guarded dialer, and follows no redirects by itself.
func newWebTransport(d *dialer) *http.Transport {
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
		MaxIdleConnsPerHost:    limits.IdlePerServer,
		MaxConnsPerHost:        limits.ConnectionsPerServer,
		IdleConnTimeout:        limits.IdleTime,
		ResponseHeaderTimeout:  0, // the request's own deadline covers it
		MaxResponseHeaderBytes: maxHeaderBytes,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingWait},
	}
}

// forget drops what led to a server at whose targets nobody spoke Matrix: it may be out of date.
func (n *Network) forget(server ident.ServerName, targets []discovery.Target) {
	n.resolver.Forget(server)
	for _, t := range targets {
		if host, _, err := net.SplitHostPort(t.Address); err == nil {
			n.dns.Forget(host, time.Now().Add(-forgetAfter))
		}
	}
}

// Remembered counts the well-known documents and the answers of the DNS that are remembered.
func (n *Network) Remembered() (documents, records int) { return n.resolver.Len(), n.dns.Len() }

// Documents lists the well-known documents that are remembered, by host.
func (n *Network) Documents() []discovery.Document { return n.resolver.Documents() }

// FlushDocuments forgets the document of server's host, or all for "", and tells how many there were.
func (n *Network) FlushDocuments(server ident.ServerName) int {
	return n.resolver.FlushDocuments(server)
}

// Records lists what is remembered of the DNS, by name: for server, see FlushRecords, or everything for "".
func (n *Network) Records(server ident.ServerName) []dns.Record {
	all := n.dns.Kept()
	if server == "" {
		return all
	}
	names := n.names(server, all)
	return slices.DeleteFunc(all, func(r dns.Record) bool { return !names[r.Name] })
}

// FlushRecords forgets what the DNS said of server: of its host, of the one that it is known to delegate to, and of the targets of
// their services; or everything for "". It tells how many answers that were.
func (n *Network) FlushRecords(server ident.ServerName) (flushed int) {
	now := time.Now()
	if server == "" {
		return n.dns.Forget("", now)
	}
	for name := range n.names(server, n.dns.Kept()) {
		flushed += n.dns.Forget(name, now)
	}
	return flushed
}

// names are those of the DNS that lead to server, by what is known.
func (n *Network) names(server ident.ServerName, known []dns.Record) map[string]bool {
	names := map[string]bool{}
	for _, name := range n.resolver.Names(server) {
		names[strings.ToLower(name)] = true
	}
	var targets []string
	for _, record := range known {
		if names[record.Name] {
			targets = append(targets, record.Targets...)
		}
	}
	for _, target := range targets {
		names[target] = true
	}
	return names
}

// Close closes idle connections. Running requests go on.
func (n *Network) Close() {
	n.web.CloseIdleConnections()
	n.servers.CloseIdleConnections()
}
