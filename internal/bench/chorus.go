// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/strata-matrix/strata/internal/load"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/dns"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// chorusDomain is the domain of the destinations. Nobody else has one under it (RFC 2606).
const chorusDomain = "fan.example"

// destination is the name of one of those that answer on a port of this machine.
func destination(number, port int) ident.ServerName {
	return ident.ServerName(fmt.Sprintf("d%05d.%s:%d", number, chorusDomain, port))
}

// hosts answers for the DNS: the destinations are here, and nobody else is anywhere.
type hosts struct{}

// Addresses implements transport.Hosts.
func (hosts) Addresses(_ context.Context, host string, _ bool) (dns.Addresses, error) {
	if !strings.HasSuffix(host, "."+chorusDomain) {
		return dns.Addresses{}, fmt.Errorf("%s: not a name of the benchmark", host)
	}
	return dns.Addresses{
		Host: host, Canonical: host, List: []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, Until: time.Now().Add(time.Hour),
	}, nil
}

// Services implements discovery.DNS. The names have ports, so that nobody asks.
func (hosts) Services(context.Context, string, bool) (dns.Services, error) {
	return dns.Services{}, errors.New("the benchmark has no services")
}

// Forget implements discovery.DNS.
func (hosts) Forget(string, time.Time) int { return 0 }

// Kept implements transport.DNS.
func (hosts) Kept() []dns.Record { return nil }
func (hosts) Len() int           { return 0 }

// chorus is all destinations behind one listener: each has the same key, publishes it, and takes every transaction.
type chorus struct {
	port   int
	key    signing.Key
	server *http.Server
	taken  atomic.Int64 // transactions
}

func openChorus(authority *transport.LocalCA) (*chorus, error) {
	config, err := authority.ServerTLS("*." + chorusDomain)
	if err != nil {
		return nil, err
	}
	key, err := signing.GenerateKey()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	c := &chorus{key: key}
	c.port, _ = strconv.Atoi(port) // the kernel's
	c.server = &http.Server{Handler: http.HandlerFunc(c.answer), TLSConfig: config, ReadHeaderTimeout: stopTime}
	go func() { _ = c.server.Serve(tls.NewListener(listener, config)) }() // ends with close
	return c, nil
}

func (c *chorus) close() { _ = c.server.Close() } // nothing of it is kept

func (c *chorus) answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodPut:
		_, _ = io.Copy(io.Discard, r.Body) // it is all the same
		c.taken.Add(1)
		_, _ = io.WriteString(w, `{"pdus":{}}`)
	case r.URL.Path == "/_matrix/key/v2/server":
		document, err := load.KeyDocument(ident.ServerName(r.Host), c.key, time.Now())
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(document)
	default:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errcode":"M_UNRECOGNIZED","error":"not here"}`)
	}
}

// users is one user of each of so many destinations.
func (c *chorus) users(count int) []ident.UserID {
	users := make([]ident.UserID, count)
	for i := range users {
		users[i] = ident.UserID("@user:" + string(destination(i, c.port)))
	}
	return users
}
