// SPDX-License-Identifier: Apache-2.0

package bench

import "time"

const (
	startTime        = 15 * time.Second // for the server to say that it is there
	stopTime         = 10 * time.Second // for it to end by itself
	maxLine          = 1 << 20          // bytes of one line between the processes
	maxEvents        = 1_000_000
	perParcel        = 50     // PDUs in a transaction (T-01)
	floorSample      = 4096   // events of one round of the floor, at most: fewer would measure caches
	maxDestinations  = 19_000 // two files each, in two processes
	spareConnections = 2048   // beside those to destinations
	minRounds        = 1
	maxRounds        = 100
)
