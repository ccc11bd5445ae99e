// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/strata-matrix/strata/transport/discovery"
	"github.com/strata-matrix/strata/transport/dns"
)

// Limits of connecting.
const (
	lookupTimeout    = 10 * time.Second       // one host look-up with its retries
	connectTimeout   = 10 * time.Second       // one address; more than three SYNs
	handshakeTimeout = 10 * time.Second       // net/http's default
	dialTimeout      = time.Minute            // all targets together, however long the request waits: net/http does not end it
	attemptDelay     = 250 * time.Millisecond // before the next address is tried beside this one, RFC 8305 §5
	maxAddresses     = 8                      // of one host name, whose DNS may answer with any number
)

// Hosts looks up the addresses of a host. *dns.Client is one.
type Hosts interface {
	Addresses(ctx context.Context, host string, fresh bool) (dns.Addresses, error)
}

// errRange is the policy of addresses.go, errAlias is X-31.
var (
	errRange = errors.New("we do not connect to that range of addresses")
	errAlias = errors.New("is an alias, which the target of an SRV record must not be (RFC 2782)")
)

// dialer opens every outbound connection of this package, to peers and for well-known documents alike. It resolves names
// itself and judges the very addresses that it then dials, so that a second DNS answer cannot smuggle in another. It is
// immutable.
type dialer struct {
	hosts      Hosts
	ranges     ranges
	open       func(ctx context.Context, address netip.AddrPort) (net.Conn, error) // openTCP, but in tests
	tls        *tls.Config                                                         // for targets; without ServerName
	unverified exceptions
	keeper     *keeper // of the connections to targets
}

// dial connects to "host:port". Its errors are marked with policy, dns or dial.
func (d *dialer) dial(ctx context.Context, _, address string) (net.Conn, error) {
	port, addrs, err := d.lookup(ctx, address, false)
	if err != nil {
		return nil, err
	}
	conn, _, err := race(ctx, addrs, d.connectTo(port))
	return conn, err
}

// connectTo gives the function that connects to a port at an address.
func (d *dialer) connectTo(port uint16) func(context.Context, netip.Addr) (net.Conn, error) {
	return func(ctx context.Context, addr netip.Addr) (net.Conn, error) {
		conn, err := d.open(ctx, netip.AddrPortFrom(addr, port))
		if err != nil {
			return nil, &classified{ClassDial, err}
		}
		return conn, nil
	}
}

func openTCP(ctx context.Context, address netip.AddrPort) (net.Conn, error) {
	connector := net.Dialer{Timeout: connectTimeout}
	return connector.DialContext(ctx, "tcp", address.String())
}

// lookup gives the addresses of "host:port" that we may connect to; at least one, or an error. direct forbids the host to be an
// alias.
func (d *dialer) lookup(ctx context.Context, address string, direct bool) (uint16, []netip.Addr, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return 0, nil, &classified{ClassPolicy, err}
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return 0, nil, &classified{ClassPolicy, fmt.Errorf("port of %q: %w", address, err)}
	}
	found, err := d.find(ctx, host, direct, false)
	if err != nil {
		return 0, nil, err
	}
	allowed := d.permitted(found.List)
	if len(allowed) == 0 {
		return 0, nil, &classified{ClassPolicy, fmt.Errorf("connect to %s at %s: %w", host, found.List[0], errRange)}
	}
	return uint16(port), allowed, nil
}

// find gives the addresses of a host, whether we may connect to them or not.
func (d *dialer) find(ctx context.Context, host string, direct, fresh bool) (dns.Addresses, error) {
	if literal, err := netip.ParseAddr(host); err == nil {
		return dns.Addresses{Host: host, Canonical: host, List: []netip.Addr{literal}, Kept: true}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	found, err := d.hosts.Addresses(ctx, host, fresh)
	switch {
	case errors.Is(err, dns.ErrNoAddress):
		return found, &classified{ClassDNS, err} // which names the host
	case err != nil:
		return found, &classified{ClassDNS, fmt.Errorf("look up %s: %w", host, err)}
	case direct && found.Canonical != found.Host:
		return found, &classified{ClassSRV, fmt.Errorf("%s %w: its name is %s", host, errAlias, found.Canonical)}
	}
	return found, nil
}

// permitted are the addresses that we may connect to, at most maxAddresses.
func (d *dialer) permitted(addrs []netip.Addr) []netip.Addr {
	allowed := make([]netip.Addr, 0, min(len(addrs), maxAddresses))
	for _, addr := range addrs {
		if d.ranges.permit(addr) && len(allowed) < maxAddresses {
			allowed = append(allowed, addr.Unmap())
		}
	}
	return allowed
}

// race connects to the first address that answers. The next one is started when the one before has failed, or has not
// answered for attemptDelay. rest are the addresses that have not failed, for who finds nothing good at the one that answered.
func race(
	ctx context.Context, addrs []netip.Addr, connect func(context.Context, netip.Addr) (net.Conn, error),
) (conn net.Conn, rest []netip.Addr, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type attempt struct {
		addr netip.Addr
		conn net.Conn
		err  error
	}
	done := make(chan attempt) // unbuffered: a late connection finds nobody and is closed
	start := func(addr netip.Addr) {
		conn, err := connect(ctx, addr)
		select {
		case done <- attempt{addr, conn, err}:
		case <-ctx.Done():
			if conn != nil {
				conn.Close()
			}
		}
	}
	rest = slices.Clone(addrs)
	var firstErr error
	next := time.NewTimer(attemptDelay)
	defer next.Stop()
	started := 0
	startNext := func() {
		next.Stop()
		if started == len(addrs) {
			return
		}
		go start(addrs[started])
		started++
		if ends, bounded := ctx.Deadline(); !bounded || time.Until(ends) > attemptDelay {
			next.Reset(attemptDelay) // of two timers that are due at one moment either might be first
		}
	}
	startNext()
	for len(rest) > 0 {
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-next.C:
			startNext()
		case a := <-done:
			rest = slices.DeleteFunc(rest, func(addr netip.Addr) bool { return addr == a.addr })
			if a.err == nil {
				return a.conn, rest, nil
			}
			if firstErr == nil {
				firstErr = a.err
			}
			startNext()
		}
	}
	return nil, nil, firstErr
}

// dialTarget connects to t and shakes hands; nothing is sent before the certificate has been checked. Where the certificate
// is not good, the other addresses are tried.
func (d *dialer) dialTarget(ctx context.Context, t discovery.Target) (net.Conn, error) {
	port, addrs, err := d.lookup(ctx, t.Address, t.Direct)
	if err != nil {
		return nil, err
	}
	var first error
	for len(addrs) > 0 {
		raw, rest, err := race(ctx, addrs, d.connectTo(port))
		if err == nil {
			var conn net.Conn
			if conn, err = d.shakeHands(ctx, raw, t); err == nil {
				return conn, nil
			}
		}
		if first == nil {
			first = err
		}
		addrs = rest
	}
	return nil, first
}

// shakeHands makes a TLS connection of raw, or closes it.
func (d *dialer) shakeHands(ctx context.Context, raw net.Conn, t discovery.Target) (*tls.Conn, error) {
	config := d.tls.Clone()
	config.ServerName = t.TLSName // no SNI for an IP address: crypto/tls sees to that
	config.InsecureSkipVerify = d.unverified.cover(t.TLSName)
	watched := d.keeper.watch(raw)
	conn := tls.Client(watched, config)
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		watched.Close()
		return nil, &classified{ClassTLS, fmt.Errorf("TLS with %s for %s: %w", raw.RemoteAddr(), t.TLSName, err)}
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
