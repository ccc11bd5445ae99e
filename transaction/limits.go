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

	// maxPDUError is how much is told of what is wrong with a PDU, in bytes: with fifty of them and their ids a reply has under
	// 64 KiB.
	maxPDUError = 500

	// maxEDURooms is how many rooms are looked at for the EDUs of one transaction, which could name a hundred thousand. Synapse
	// sends receipts room by room.
	maxEDURooms = 500

	// maxProcessing bounds the work on one inbound transaction, so that those who wait for it are answered.
	maxProcessing = 2 * time.Minute

	// maxScan is how many rows of the outbound log one job looks at for a destination.
	maxScan = 1000

	// maxFrontier is how many forward extremities of a room a server that was away is given: as many as an event may follow (P-04).
	maxFrontier = 20

	// maxEDUAge is how long an EDU waits for a server that is away. Its messages to devices are lost to it then, with a trace.
	maxEDUAge = 90 * 24 * time.Hour

	// MaxKeptReply is the longest reply to an outbound transaction that is kept, in bytes: fifty results with a long sentence
	// each. What a longer one says is lost, not what it answers.
	MaxKeptReply = 64 << 10

	// versionTimeout is how long a destination may take to say which software it runs: nothing has to be worked on for that.
	versionTimeout = 10 * time.Second

	// maxFailureMessage is how much of what a peer said is kept with an attempt, in bytes.
	maxFailureMessage = 500
)
