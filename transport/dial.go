// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/strata-matrix/strata/transport/discovery"
)

// Limits of connecting.
const (
	lookupTimeout    = 10 * time.Second       // one host look-up; the system's resolver retries within
	connectTimeout   = 10 * time.Second       // one address; more than three SYNs
	handshakeTimeout = 10 * time.Second       // net/http's default
	dialTimeout      = time.Minute            // all targets together, however long the request waits: net/http does not end it
	attemptDelay     = 250 * time.Millisecond // before the next address is tried beside this one, RFC 8305 §5
	maxAddresses     = 8                      // of one host name, whose DNS may answer with any number
)

// HostLookup looks up the addresses of a host; CNAMEs are followed. *net.Resolver is one.
type HostLookup interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// errPrivate is the policy of addresses.go.
var errPrivate = errors.New("address is not public")

// dialer opens every outbound connection of this package, to peers and for well-known documents alike. It resolves names
// itself and judges the very addresses that it then dials, so that a second DNS answer cannot smuggle in another. It is
// immutable.
type dialer struct {
	hosts        HostLookup
	allowPrivate bool
	tls          *tls.Config // for targets; without ServerName
}

// dial connects to "host:port". Its errors are marked with policy, dns or dial.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &classified{ClassPolicy, err}
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, &classified{ClassPolicy, fmt.Errorf("port of %q: %w", address, err)}
	}
	addrs, err := d.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	return race(ctx, addrs, func(ctx context.Context, addr netip.Addr) (net.Conn, error) {
		connector := net.Dialer{Timeout: connectTimeout}
		conn, err := connector.DialContext(ctx, network, netip.AddrPortFrom(addr, uint16(port)).String())
		if err != nil {
			return nil, &classified{ClassDial, err}
		}
		return conn, nil
	})
}

// lookup gives the addresses of host that we may connect to; at least one, or an error.
func (d *dialer) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs := []netip.Addr{}
	if literal, err := netip.ParseAddr(host); err == nil {
		addrs = append(addrs, literal)
	} else {
		ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
		defer cancel()
		if addrs, err = d.hosts.LookupNetIP(ctx, "ip", host); err != nil {
			return nil, &classified{ClassDNS, fmt.Errorf("look up %s: %w", host, err)}
		}
	}
	allowed := make([]netip.Addr, 0, min(len(addrs), maxAddresses))
	for _, addr := range addrs {
		if (d.allowPrivate || isPublic(addr)) && len(allowed) < maxAddresses {
			allowed = append(allowed, addr.Unmap())
		}
	}
	switch {
	case len(addrs) == 0:
		return nil, &classified{ClassDNS, fmt.Errorf("look up %s: no addresses", host)}
	case len(allowed) == 0:
		return nil, &classified{ClassPolicy, fmt.Errorf("connect to %s at %s: %w", host, addrs[0], errPrivate)}
	}
	return allowed, nil
}

// race connects to the first address that answers. The next one is started when the one before has failed, or has not
// answered for attemptDelay; the order is the resolver's (RFC 6724).
func race(ctx context.Context, addrs []netip.Addr, connect func(context.Context, netip.Addr) (net.Conn, error)) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type attempt struct {
		conn net.Conn
		err  error
	}
	done := make(chan attempt) // unbuffered: a late connection finds nobody and is closed
	start := func(addr netip.Addr) {
		conn, err := connect(ctx, addr)
		select {
		case done <- attempt{conn, err}:
		case <-ctx.Done():
			if conn != nil {
				conn.Close()
			}
		}
	}
	var firstErr error
	next := time.NewTimer(0)
	defer next.Stop()
	for started, failed := 0, 0; failed < len(addrs); {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-next.C:
			if started < len(addrs) {
				go start(addrs[started])
				started++
				next.Reset(attemptDelay)
			}
		case a := <-done:
			if a.err == nil {
				return a.conn, nil
			}
			if failed++; firstErr == nil {
				firstErr = a.err
			}
			next.Reset(0)
		}
	}
	return nil, firstErr
}

// dialTarget connects to t and shakes hands; nothing is sent before the certificate has been checked.
func (d *dialer) dialTarget(ctx context.Context, t discovery.Target) (net.Conn, error) {
	raw, err := d.dial(ctx, "tcp", t.Address)
	if err != nil {
		return nil, err
	}
	config := d.tls.Clone()
	config.ServerName = t.TLSName // no SNI for an IP address: crypto/tls sees to that
	conn := tls.Client(raw, config)
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, &classified{ClassTLS, fmt.Errorf("TLS with %s for %s: %w", t.Address, t.TLSName, err)}
	}
	return conn, nil
}

// dialTargets tries one target after the other. The error is that of the target that came furthest.
func (d *dialer) dialTargets(ctx context.Context, targets []discovery.Target) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var furthest error
	for _, t := range targets {
		conn, err := d.dialTarget(ctx, t)
		if err == nil {
			return conn, nil
		}
		if furthest == nil || classOf(ctx, err) == ClassTLS {
			furthest = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, furthest
}
