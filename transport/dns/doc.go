// SPDX-License-Identifier: Apache-2.0

// Package dns asks the DNS what federation needs of it: the addresses of a host and the services of a name, each with how long the
// answer is good and through which aliases it came. It is a stub resolver: it asks the recursive servers of this machine, or those
// that it is given.
//
//	Addresses ──► hosts file, localhost ──► A + AAAA ─┐
//	                                                  ├──► kept? ──► ask: UDP, TCP when cut short ──► read (pure)
//	Services  ─────────────────────────────► SRV ─────┘      ▲        server after server, twice         │
//	                                                         └────────── good for its TTL, bounded ◄─────┘
//
// The standard library's resolver does not do: it tells neither a TTL, so that nothing could be kept for as long as its owner says,
// nor aliases, so that X-31 could not be held.
//
// That there is nothing is an answer too and kept as its zone says (RFC 2308). That no server could tell is an error, and is not
// kept.
//
// The package does not validate DNSSEC (that is for the recursive server), does not follow referrals, searches no domains, reads no
// nsswitch.conf and of resolv.conf nothing but the servers, and does not judge addresses: the dialer of package transport does. Without
// /etc/resolv.conf it asks a server on this machine.
package dns
