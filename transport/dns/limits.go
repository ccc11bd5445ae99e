// SPDX-License-Identifier: Apache-2.0

package dns

import "time"

const (
	// lookupTimeout bounds one look-up with all its tries.
	lookupTimeout = 10 * time.Second
	// tryTimeout is how long one server has to answer, and tries how often the list of servers is gone through: resolv.conf(5) has
	// 5 s and 2, but then a single lost packet takes half of the time there is.
	tryTimeout = 3 * time.Second
	tries      = 2
	// maxServers is how many servers are asked: MAXNS of resolv.conf(5).
	maxServers = 3

	// udpSize is the largest answer asked for over UDP, which no path fragments: the DNS flag day of 2020.
	udpSize = 1232
	// maxStray is how many packets that are no answer to the question are read while waiting for the one that is.
	maxStray = 16
	// maxRecords is how many records of one kind are taken from one answer. No real name comes near.
	maxRecords = 64
	// maxAliases is how many CNAMEs are followed: more than recursive servers follow (BIND 16, Unbound 11).
	maxAliases = 16

	// maxKept is how many answers are kept, by name and type: the largest rooms span fewer than 10,000 servers, of which each has
	// addresses of two kinds and two services.
	maxKept = 40_000
	// minFresh and maxFresh clamp the TTL of an answer. A TTL of 0 would cost a look-up for each connection; servers move within days.
	minFresh = 5 * time.Second
	maxFresh = 24 * time.Hour
	// maxNothing caps how long it is believed that there is nothing (RFC 2308 §5 suggests one to three hours), and
	// defaultNothing is for zones that do not say.
	maxNothing     = time.Hour
	defaultNothing = time.Minute

	// maxFile is in bytes, for hosts and resolv.conf; reloadAfter is how old what was read of them may be.
	maxFile     = 1 << 20
	reloadAfter = 5 * time.Second
)
