// SPDX-License-Identifier: Apache-2.0

package trace

import "time"

// TransactionSending is emitted when an attempt to deliver an outbound transaction starts.
type TransactionSending struct {
	Destination, TxnID string
	PDUs, EDUs         int
	Attempt            int // 1 for the first
}

// TransactionAttempted is emitted when that attempt has ended, before its outcome is durable.
type TransactionAttempted struct {
	Destination, TxnID string
	PDUs, EDUs         int
	Attempt            int
	Class              string // "ok", or the class of the failure
	Status             int    // HTTP status, 0 when there was none
	Duration           time.Duration
}

// TransactionReceived is emitted when an inbound transaction has been answered.
type TransactionReceived struct {
	Origin, TxnID string
	PDUs, EDUs    int
	Duplicate     bool // answered from the kept reply, or by waiting for the first
	Status        int
	Duration      time.Duration
}

// TransactionCompacted is emitted when the old part of the outbound log was made shorter for the sake of servers that are far behind.
type TransactionCompacted struct {
	Items       int // that are no longer in it
	DroppedEDUs int // of them EDUs that waited so long that they were given up
	Behind      int // servers that have not had all of the log
}

// TransactionEDUDropped is emitted when an EDU that nobody promised to deliver gave way to newer ones.
type TransactionEDUDropped struct {
	Type         string
	Destination  string // "" when it was for several
	Destinations int
}

// TransactionParked is emitted when a destination has refused an item for good: it is set aside, and what is behind it goes on.
type TransactionParked struct {
	Destination, Room, Event string // Room and Event are "" for an EDU
	Class                    string // of the refusal
	Status                   int
	Message                  string // what the destination said
	Forgotten                int64  // items that were parked before and are kept no longer
}

// TransactionPulled is emitted when a server was asked what it has for us.
type TransactionPulled struct {
	From         string
	Transactions int    // that it gave
	Stock        bool   // it does not know how to
	Error        string // "" when it had no more
}

// TransactionStoreFailed is emitted when the outbox could not use the store. Nothing is lost: what it was about is done again.
type TransactionStoreFailed struct {
	Destination string // "" when it was not about one
	Error       string
}

// Kind implements Event.
func (TransactionSending) Kind() string { return "transaction.sending" }

// Kind implements Event.
func (TransactionAttempted) Kind() string { return "transaction.attempted" }

// Kind implements Event.
func (TransactionReceived) Kind() string { return "transaction.received" }

// Kind implements Event.
func (TransactionCompacted) Kind() string { return "transaction.compacted" }

// Kind implements Event.
func (TransactionEDUDropped) Kind() string { return "transaction.edu_dropped" }

// Kind implements Event.
func (TransactionParked) Kind() string { return "transaction.parked" }

// Kind implements Event.
func (TransactionPulled) Kind() string { return "transaction.pulled" }

// Kind implements Event.
func (TransactionStoreFailed) Kind() string { return "transaction.store_failed" }
