// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"strings"
)

// Trust says which certificates of other servers are believed. The zero value: those of the system's authorities.
type Trust struct {
	// Roots are the certificate authorities to trust, nil for the system's.
	Roots *x509.CertPool
	// Unverified turns the check of certificates off, for all servers: whoever is on the way can then read and answer requests.
	Unverified bool
	// UnverifiedNames turns it off for some: names that certificates would have to bear, with * and ? as wildcards, or ranges of
	// addresses such as 10.0.0.0/8 for servers that are named by address. Well-known documents are verified all the same.
	UnverifiedNames []string
	// MinVersion is the oldest version of TLS to speak, TLS 1.2 when zero.
	MinVersion uint16
	// KeyLog gets the secrets of connections in the format of SSLKEYLOGFILE, for a look at the traffic with other tools.
	KeyLog io.Writer
}

// sessionCache is how many TLS sessions are kept to be resumed, at about 2 KiB each: resuming doubles the rate of handshakes.
const sessionCache = 4096

// config is what all connections to others have in common; without ServerName.
func (t Trust) config() *tls.Config {
	return &tls.Config{
		RootCAs:            t.Roots,
		MinVersion:         max(t.MinVersion, tls.VersionTLS12),
		NextProtos:         []string{"h2", "http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(sessionCache),
		KeyLogWriter:       t.KeyLog,
	}
}

// exceptions are the names whose certificates are not checked.
type exceptions struct {
	all    bool
	names  []*regexp.Regexp
	blocks []netip.Prefix
}

func (t Trust) exceptions() (e exceptions, err error) {
	e.all = t.Unverified
	for _, name := range t.UnverifiedNames {
		if block, err := netip.ParsePrefix(name); err == nil {
			e.blocks = append(e.blocks, block)
			continue
		}
		pattern, err := regexp.Compile("^(?i:" + strings.NewReplacer(`\*`, ".*", `\?`, ".").Replace(regexp.QuoteMeta(name)) + ")$")
		if err != nil { // a name that is not UTF-8
			return e, fmt.Errorf("name %q: %w", name, err)
		}
		e.names = append(e.names, pattern)
	}
	return e, nil
}

// cover tells whether the certificate for name, a host or an address, goes unchecked.
func (e exceptions) cover(name string) bool {
	if e.all {
		return true
	}
	for _, pattern := range e.names {
		if pattern.MatchString(name) {
			return true
		}
	}
	addr, err := netip.ParseAddr(name)
	for _, block := range e.blocks {
		if err == nil && block.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}
