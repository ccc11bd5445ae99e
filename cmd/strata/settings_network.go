// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/dns"
)

// tlsVersions are the values of federation_client_minimum_tls_version. Older ones are obsolete (RFC 8996).
var tlsVersions = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// dnsPort is where a DNS server is asked of which no port is said.
const dnsPort = 53

// checkNetwork finds what is wrong with the settings about the way to other servers.
func (s *settings) checkNetwork(found *faults) {
	lists := []struct {
		key  string
		list []string
	}{{"ip_range_blacklist", s.IPRangeBlacklist}, {"ip_range_whitelist", s.IPRangeWhitelist}}
	for _, l := range lists {
		for i, text := range l.list {
			if _, err := parseRange(text); err != nil {
				found.add(fmt.Sprintf("%s[%d]", l.key, i), err.Error(), `write a range such as "10.0.0.0/8", or an address`)
			}
		}
	}
	for i, text := range s.DNSServers {
		if _, err := parseDNSServer(text); err != nil {
			found.add(fmt.Sprintf("dns_servers[%d]", i), err.Error(), `write an address such as "192.0.2.53", with a port if it is not 53`)
		}
	}
	for i, name := range s.FederationDomainWhitelist {
		if _, err := transport.NewServerPolicy([]string{name}, nil); err != nil {
			found.add(fmt.Sprintf("federation_domain_whitelist[%d]", i), err.Error(), "write the name of a server")
		}
	}
	for i, pattern := range s.ForbiddenRemoteServerNames {
		if _, err := transport.NewServerPolicy(nil, []string{pattern}); err != nil {
			found.add(fmt.Sprintf("forbidden_remote_server_names[%d]", i), err.Error(), `write a regular expression such as 'bad\.example$'`)
		}
	}
	if _, known := tlsVersions[s.FederationClientMinimumTLSVersion]; !known {
		found.add("federation_client_minimum_tls_version", fmt.Sprintf("is %q", s.FederationClientMinimumTLSVersion), `write "1.2" or "1.3"`)
	}
	if s.FederationTimeout <= 0 {
		found.add("federation_timeout", "is 0", `write a span such as "25s"`)
	}
	if s.WellKnownTimeout <= 0 {
		found.add("well_known_timeout", "is 0", `write a span such as "10s"`)
	}
}

// parseRange reads a range of addresses, or a single one.
func parseRange(text string) (netip.Prefix, error) {
	block, err := netip.ParsePrefix(text)
	if err != nil {
		addr, addrErr := netip.ParseAddr(text)
		if addrErr != nil {
			return netip.Prefix{}, fmt.Errorf("%q is no range of addresses", shortened(text, 60))
		}
		block = netip.PrefixFrom(addr.WithZone(""), addr.BitLen())
	}
	const mapped = 96 // bits before the IPv4 address in ::ffff:0:0/96
	if block.Addr().Is4In6() && block.Bits() >= mapped {
		block = netip.PrefixFrom(block.Addr().Unmap(), block.Bits()-mapped)
	}
	return block.Masked(), nil
}

// parseRanges reads a list without faults; nil stays nil.
func parseRanges(list []string) (blocks []netip.Prefix, err error) {
	if list != nil {
		blocks = []netip.Prefix{}
	}
	for _, text := range list {
		block, err := parseRange(text)
		if err != nil {
			return nil, err
		}
		blocks = append(blocks, block)
	}
	return blocks, nil
}

// parseDNSServer reads an address with or without port.
func parseDNSServer(text string) (netip.AddrPort, error) {
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return netip.AddrPortFrom(addr, dnsPort), nil
	}
	server, err := netip.ParseAddrPort(text)
	if err != nil || server.Port() == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address of a DNS server", shortened(text, 60))
	}
	return server, nil
}

// network is the way to other servers as settings without faults have it. extraCA are authorities to trust besides; keyLog gets the
// secrets of connections, if it is not nil.
func (s *settings) network(keyLog io.Writer, extraCA ...string) (n transport.NetworkConfig, err error) {
	n.AllowPrivate, n.WellKnownTimeout = s.AllowPrivateAddresses, time.Duration(s.WellKnownTimeout)
	n.Limits = s.clientLimits()
	n.DeniedRanges, err = parseRanges(s.IPRangeBlacklist)
	if err != nil {
		return n, err
	}
	if n.AllowedRanges, err = parseRanges(s.IPRangeWhitelist); err != nil {
		return n, err
	}
	n.Trust = transport.Trust{
		Unverified: !s.FederationVerifyCertificates, UnverifiedNames: s.FederationCertificateVerificationWhitelist,
		MinVersion: tlsVersions[s.FederationClientMinimumTLSVersion], KeyLog: keyLog,
	}
	files := slices.Concat(s.FederationCustomCAList, s.FederationExtraCAList, extraCA)
	if len(files) > 0 {
		if n.Trust.Roots, err = trusted(files, len(s.FederationCustomCAList) == 0); err != nil {
			return n, err
		}
	}
	var servers []netip.AddrPort
	for _, text := range s.DNSServers {
		server, err := parseDNSServer(text)
		if err != nil {
			return n, err
		}
		servers = append(servers, server)
	}
	n.DNS = dns.NewClient(dns.Config{Servers: servers})
	return n, nil
}

// clientLimits are those of requests to others.
func (s *settings) clientLimits() transport.ClientLimits {
	return transport.ClientLimits{Timeout: time.Duration(s.Federation.ClientTimeout), Silence: time.Duration(s.FederationTimeout)}
}

// serverPolicy is the list of servers to federate with.
func (s *settings) serverPolicy() (transport.ServerPolicy, error) {
	return transport.NewServerPolicy(s.FederationDomainWhitelist, s.ForbiddenRemoteServerNames)
}

// keyLogVariable names the file for the secrets of connections, as in browsers and curl.
const keyLogVariable = "SSLKEYLOGFILE"

// openKeyLog opens the file that the environment names for the secrets of outbound connections; nil for none.
func openKeyLog(w *world) (io.WriteCloser, error) {
	path := w.env[keyLogVariable]
	if path == "" {
		return nil, nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", keyLogVariable, err)
	}
	w.out.note("strata: the secrets of connections to other servers are written to %s (%s): who reads them reads the traffic", path, keyLogVariable)
	return file, nil
}
