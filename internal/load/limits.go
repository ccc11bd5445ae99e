// SPDX-License-Identifier: Apache-2.0

package load

import "time"

const (
	maxPDUs       = 50        // in a transaction (T-01)
	maxEvents     = 2_000_000 // made before anything is sent, at 3 KiB of memory each
	maxOrigins    = 256       // each has a port
	maxRooms      = 4096
	maxBackfilled = 100     // events of one answer, as many as servers ask for
	maxAsked      = 1 << 20 // bytes of a request of the target's

	joinTimeout = time.Minute
	joinReply   = 256 << 20             // bytes: the state of a large room
	pollFirst   = 20 * time.Millisecond // between two questions whether an event is shown
	pollMax     = time.Second
	sampleSize  = 200         // events that the target is asked for at the end: enough to see shares of a few percent
	pollShare   = 20          // of the time that it has taken already
	retryFirst  = time.Second // after a transaction failed; doubled up to retryMax
	retryMax    = 30 * time.Second
	headerTime  = 10 * time.Second // for the target to send the head of a request
	keyValidity = 24 * time.Hour

	powerUnset = 50 // state_default where the power levels do not say (P-56)
)
