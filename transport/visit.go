// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/strata-matrix/strata/transport/discovery"
	"github.com/strata-matrix/strata/transport/ident"
)

// Examination is a resolution with every question on the way, and where it leads.
type Examination struct {
	Steps  []discovery.Step
	Places []Place
	Err    error // why it leads nowhere
}

// Place is what the DNS knows of one target.
type Place struct {
	Target    discovery.Target
	Canonical string           // the name at the end of the aliases
	Addresses []netip.AddrPort // to which we may connect
	Denied    []netip.Addr     // to which we may not
	Kept      bool             // nobody was asked
	Err       error            // why there are no addresses
}

// Examine resolves a server name and looks up the addresses of every target. It connects to none. fresh asks everybody anew, and keeps
// the answers.
func (n *Network) Examine(ctx context.Context, server ident.ServerName, fresh bool) (found Examination) {
	targets, steps, err := n.resolver.Examine(ctx, server, fresh)
	found.Steps, found.Err = steps, err
	for _, target := range targets {
		found.Places = append(found.Places, n.place(ctx, target, fresh))
	}
	return found
}

func (n *Network) place(ctx context.Context, target discovery.Target, fresh bool) Place {
	p := Place{Target: target}
	host, portText, err := net.SplitHostPort(target.Address)
	if err != nil {
		p.Err = err
		return p
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		p.Err = fmt.Errorf("port of %q: %w", target.Address, err)
		return p
	}
	found, err := n.dialer.find(ctx, host, target.Direct, fresh)
	p.Canonical, p.Kept, p.Err = found.Canonical, found.Kept, err
	if err != nil {
		return p
	}
	for _, addr := range found.List {
		switch {
		case !n.dialer.ranges.permit(addr):
			p.Denied = append(p.Denied, addr)
		case len(p.Addresses) < maxAddresses:
			p.Addresses = append(p.Addresses, netip.AddrPortFrom(addr.Unmap(), uint16(port)))
		}
	}
	return p
}

// AddressedDocument is the well-known document of a host as one of its addresses gives it.
type AddressedDocument struct {
	Addr netip.Addr
	discovery.Document
}

// DocumentByAddress asks each address of host for the well-known document, which should be the same everywhere; requests meet any of
// them. Redirects are followed in the ordinary way. Nothing is remembered.
func (n *Network) DocumentByAddress(ctx context.Context, host string) []AddressedDocument {
	found, err := n.dialer.find(ctx, host, false, false)
	if err != nil {
		return nil
	}
	var all []AddressedDocument
	for _, addr := range n.dialer.permitted(found.List) {
		all = append(all, AddressedDocument{Addr: addr})
	}
	own := net.JoinHostPort(host, strconv.Itoa(webPort))
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			via := newWebTransport(n.dialer)
			via.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				if address == own {
					return n.dialer.connectTo(webPort)(ctx, all[i].Addr)
				}
				return n.dialer.dial(ctx, network, address)
			}
			all[i].Document = n.resolver.Fetch(ctx, host, via)
		})
	}
	wg.Wait()
	return all
}

// webPort is where well-known documents are.
const webPort = 443

// Visit is what one address of a server shows. Nothing is sent to one whose certificate is not good.
type Visit struct {
	Connected, Secured time.Duration        // what TCP and TLS took
	TLS                *tls.ConnectionState // nil when there was no connection
	Unverified         bool                 // the certificate is not checked, by configuration
	Certificate        error                // why it is not good
	Replies            []Raw                // to the paths, in order, as far as they came
	Err                *Failure             // what ended the visit, nil if nothing
}

// Visit connects to one address of a target and gets each path there, unsigned.
func (n *Network) Visit(ctx context.Context, target discovery.Target, addr netip.AddrPort, paths ...string) (v Visit) {
	begun := time.Now()
	raw, err := n.dialer.connectTo(addr.Port())(ctx, addr.Addr())
	if err != nil {
		v.Err = failureOf(ctx, err)
		return v
	}
	defer raw.Close()
	v.Connected = time.Since(begun)
	conn, err := n.greet(ctx, raw, target)
	v.Secured = time.Since(begun) - v.Connected
	if err != nil {
		v.Err = failureOf(ctx, &classified{ClassTLS, fmt.Errorf("TLS with %s for %s: %w", addr, target.TLSName, err)})
		return v
	}
	state := conn.ConnectionState()
	v.TLS, v.Unverified = &state, n.dialer.unverified.cover(target.TLSName)
	if v.Certificate = n.dialer.certificate(state, target.TLSName); v.Certificate != nil && !v.Unverified {
		v.Err = &Failure{Class: ClassTLS, Err: v.Certificate}
		return v
	}
	once := &http.Transport{
		DialTLSContext:    func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		ForceAttemptHTTP2: true, MaxConnsPerHost: 1, MaxResponseHeaderBytes: maxHeaderBytes,
	}
	defer once.CloseIdleConnections()
	for _, path := range paths {
		reply, err := n.get(ctx, once, target, path)
		if err != nil {
			v.Err = failureOf(ctx, err)
			return v
		}
		reply.Remote = addr.String()
		v.Replies = append(v.Replies, reply)
	}
	return v
}

// greet shakes hands and leaves the certificate to be judged afterwards, so that a bad one can be shown.
func (n *Network) greet(ctx context.Context, raw net.Conn, target discovery.Target) (*tls.Conn, error) {
	config := n.dialer.tls.Clone()
	config.ServerName, config.InsecureSkipVerify, config.ClientSessionCache = target.TLSName, true, nil
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn := tls.Client(raw, config)
	return conn, conn.HandshakeContext(ctx)
}

// certificate judges what a connection showed, as crypto/tls does where it is not told to skip that.
func (d *dialer) certificate(state tls.ConnectionState, name string) error {
	options := x509.VerifyOptions{Roots: d.tls.RootCAs, DNSName: name, Intermediates: x509.NewCertPool()}
	for _, cert := range state.PeerCertificates[1:] {
		options.Intermediates.AddCert(cert)
	}
	_, err := state.PeerCertificates[0].Verify(options)
	return err
}

// get is one request of a visit.
func (n *Network) get(ctx context.Context, via http.RoundTripper, target discovery.Target, path string) (Raw, error) {
	begun := time.Now()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+target.Host+path, nil)
	if err != nil {
		return Raw{}, &Failure{Class: ClassPolicy, Err: err}
	}
	request.Header.Set("User-Agent", n.userAgent)
	request.Header.Set("Accept", "application/json")
	response, err := via.RoundTrip(request)
	if err != nil {
		return Raw{}, err
	}
	defer response.Body.Close()
	body, err := readCapped(response.Body, maxKeyReply, response.ContentLength)
	return Raw{
		Step: target.Step, Proto: response.Proto, Status: response.StatusCode, Header: response.Header, Body: body, Cut: err != nil,
		TLS: response.TLS, Took: time.Since(begun),
	}, nil
}
