// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"net/netip"
	"slices"
)

// DefaultDenied are the address blocks that no federating server lives in: those that the IANA special-purpose registries (RFC 6890)
// call not globally reachable, multicast, and the obsolete site-local block. A peer that points its name there wants us to
// talk to our own network.
var DefaultDenied = prefixes(
	"0.0.0.0/8",       // this network, RFC 791
	"10.0.0.0/8",      // private use, RFC 1918
	"100.64.0.0/10",   // shared address space, RFC 6598
	"127.0.0.0/8",     // loopback, RFC 1122
	"169.254.0.0/16",  // link local, RFC 3927; cloud metadata services
	"172.16.0.0/12",   // private use, RFC 1918
	"192.0.0.0/24",    // protocol assignments, RFC 6890
	"192.0.2.0/24",    // documentation, RFC 5737
	"192.88.99.0/24",  // deprecated 6to4 relay, RFC 7526
	"192.168.0.0/16",  // private use, RFC 1918
	"198.18.0.0/15",   // benchmarking, RFC 2544
	"198.51.100.0/24", // documentation, RFC 5737
	"203.0.113.0/24",  // documentation, RFC 5737
	"224.0.0.0/4",     // multicast, RFC 5771
	"240.0.0.0/4",     // reserved and broadcast, RFC 1112
	"::/128",          // unspecified, RFC 4291
	"::1/128",         // loopback, RFC 4291
	"::/96",           // IPv4-compatible, RFC 4291
	"64:ff9b:1::/48",  // local NAT64, RFC 8215
	"100::/64",        // discard, RFC 6666
	"2001::/23",       // protocol assignments with Teredo, RFC 2928
	"2001:db8::/32",   // documentation, RFC 3849
	"3fff::/20",       // documentation, RFC 9637
	"5f00::/16",       // segment routing, RFC 9602
	"fc00::/7",        // unique local, RFC 4193
	"fe80::/10",       // link local, RFC 4291
	"fec0::/10",       // site local, RFC 3879
	"ff00::/8",        // multicast, RFC 4291
)

// Blocks of IPv6 addresses that carry an IPv4 address, which then counts as well.
var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052: the last four bytes
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765: the last four bytes
	sixTo4     = netip.MustParsePrefix("2002::/16")       // RFC 3056: bytes 2 to 5
)

func prefixes(blocks ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(blocks))
	for i, block := range blocks {
		parsed[i] = netip.MustParsePrefix(block)
	}
	return parsed
}

// ranges say which addresses we connect to: those in no denied block, and those in an allowed one.
type ranges struct{ denied, allowed []netip.Prefix }

// permit reports whether we may connect to addr. An address that carries another one is judged as both.
func (r ranges) permit(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	inner := embedded(addr)
	isIn := func(block netip.Prefix) bool { return block.Contains(addr) || block.Contains(inner) }
	return addr.IsValid() && (slices.ContainsFunc(r.allowed, isIn) || !slices.ContainsFunc(r.denied, isIn))
}

// embedded is the IPv4 address that addr carries, the zero Addr for none.
func embedded(addr netip.Addr) netip.Addr {
	bytes := addr.As16()
	switch {
	case nat64.Contains(addr), translated.Contains(addr):
		return netip.AddrFrom4([4]byte(bytes[12:16]))
	case sixTo4.Contains(addr):
		return netip.AddrFrom4([4]byte(bytes[2:6]))
	default:
		return netip.Addr{}
	}
}
