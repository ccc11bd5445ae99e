// SPDX-License-Identifier: Apache-2.0

package transaction

import "time"

const (
	// MaxPDUs and MaxEDUs bound a transaction, both ways (T-01).
	MaxPDUs = 50
	MaxEDUs = 100

	// MaxSentBytes is where an outbound transaction is closed although more would fit by count: large enough for fifty events
	// of common size, small enough that a slow peer can take it within an attempt.
	MaxSentBytes = 512 << 10

	// MaxReceivedBytes bounds an inbound body: as many bytes as Synapse accepts, 200 events of the largest size.
	MaxReceivedBytes = 200 * 65536

	// MaxTxnID is the longest transaction id in bytes that is accepted. The specification sets no limit; ids in use have
	// well under 100.
	MaxTxnID = 255

	// maxProcessing bounds the work on one inbound transaction, so that those who wait for it are answered.
	maxProcessing = 2 * time.Minute

	// maxScan is how many rows of the outbound log one job looks at for a destination.
	maxScan = 1000

	// MaxKeptReply is the longest reply to an outbound transaction that is kept, in bytes: fifty results with a long sentence
	// each. What a longer one says is lost, not what it answers.
	MaxKeptReply = 64 << 10

	// maxFailureMessage is how much of what a peer said is kept with an attempt, in bytes.
	maxFailureMessage = 500
)
