// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"time"

	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
)

// rcFederation is what one server may have under way here.
type rcFederation struct {
	Concurrent  int64 `toml:"concurrent" json:"concurrent"`     // requests that are worked on at one time
	RejectLimit int64 `toml:"reject_limit" json:"reject_limit"` // how many more wait before others are refused
}

// What the settings below may be at most, and the backlog at least: as much as a transaction has room for, and as long as a restart takes.
const (
	maxOriginRequests = 10_000
	minBacklog        = transaction.MaxPDUs
	maxBacklog        = 10_000_000
	minBacklogTime    = time.Minute
	maxBacklogTime    = 365 * 24 * time.Hour
	insteadOfRetries  = "a request is sent once, and a transaction again after the pause of its server"
	insteadOfSleeping = "requests beyond concurrent wait in line, they are not slowed down"
)

// notHere are settings of Synapse that a file which was written for it may have in tables that there are here too, and what is done
// in their place.
var notHere = map[string]string{
	"rc_federation.window_size": insteadOfSleeping, "rc_federation.sleep_limit": insteadOfSleeping, "rc_federation.sleep_delay": insteadOfSleeping,
	"federation.max_short_retries": insteadOfRetries, "federation.max_long_retries": insteadOfRetries,
	"federation.max_short_retry_delay": insteadOfRetries, "federation.max_long_retry_delay": insteadOfRetries,
}

// checkLimits finds what is wrong with how much there may be of things.
func (s *settings) checkLimits(found *faults) {
	for _, limit := range []struct {
		key             string
		is, least, most int64
	}{
		{"rc_federation.concurrent", s.RCFederation.Concurrent, 1, maxOriginRequests},
		{"rc_federation.reject_limit", s.RCFederation.RejectLimit, 1, maxOriginRequests},
		{"federation.destination_backlog_items", s.Federation.DestinationBacklogItems, minBacklog, maxBacklog},
	} {
		if limit.is < limit.least || limit.is > limit.most {
			found.add(limit.key, fmt.Sprintf("is %d", limit.is), fmt.Sprintf("write a number from %d to %d", limit.least, limit.most))
		}
	}
	if d := time.Duration(s.Federation.DestinationBacklogTime); d < minBacklogTime || d > maxBacklogTime {
		found.add("federation.destination_backlog_time", fmt.Sprintf("is %s", d), "write a span from 1m to 365d")
	}
}

// serverLimits are those of requests of others.
func (s *settings) serverLimits() transport.ServerLimits {
	return transport.ServerLimits{OriginRequests: int(s.RCFederation.Concurrent), OriginWaiting: int(s.RCFederation.RejectLimit)}
}

// backlog is what waits for others.
func (s *settings) backlog() transaction.Backlog {
	return transaction.Backlog{Items: int(s.Federation.DestinationBacklogItems), Age: time.Duration(s.Federation.DestinationBacklogTime)}
}
