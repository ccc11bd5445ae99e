// SPDX-License-Identifier: Apache-2.0

// Package discovery finds out where a Matrix server lives: from a server name to addresses, the Host header to send and the
// name that the certificate must bear. It follows "Resolving server names" of the server-server API.
//
//	server name ──► walk (pure) ──asks──► well-known, kept up to 48 h ──► guarded HTTPS of the caller
//	                  │   ▲     ──asks──► SRV records                 ──► package dns, which keeps them for their TTL
//	                  │   └──answers──┘
//	                  ▼
//	   1    [::1]:8448          IP literal            Host [::1]:8448     certificate ::1
//	   2    example.org:443     explicit port         Host as given       certificate example.org
//	   3    well-known says d   → 3.1 literal, 3.2 port, 3.3 _matrix-fed, 3.4 _matrix, 3.5 port 8448, all of d
//	   4    _matrix-fed._tcp    ┐
//	   5    _matrix._tcp        ├ of the original hostname, when there is no usable well-known
//	   6    port 8448           ┘
//
// The walk is a value without I/O; Resolver is its driver. A failing well-known never fails a resolution: the walk goes
// on with step 4. A failing SRV look-up does, because "the DNS is down" is not "there is no record".
//
// All targets of one resolution share their Host and certificate name, and Host alone determines both: the client pools its
// connections by it.
//
// Answers are kept by what was asked for, not by server, so that none outlives a change of what led to it: records of a name that is
// delegated by now are not looked at. Examine walks like Resolve and tells of each question, for who wants to know why.
//
// The package does not look up A or AAAA records, does not connect, and does not judge addresses: the dialer of package
// transport does, for the well-known request as for every other, and it holds SRV targets to be no aliases.
package discovery
