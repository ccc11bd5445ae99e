// SPDX-License-Identifier: Apache-2.0

// Package transaction moves transactions between servers: each inbound one is worked on once and its reply kept, each
// destination has at most one outbound one in flight, and what was acknowledged or enqueued survives any crash.
//
//	 pdu, messaging                                     pdu, messaging
//	      │ EnqueuePDU, EnqueueEDU: in the caller's job      ▲ ReceivePDUs, ReceiveEDU
//	      ▼                                                  │
//	┌─ outbox ─────────────────────────────┐          ┌─ inbox ──────────────────────────────┐
//	│ log: one row per event, a set of     │          │ seen (origin, txn id)?  the kept reply│
//	│ servers; a destination is a cursor   │          │ running?                wait for it   │
//	│ freeze ─► send ─► 200: cursor moves  │          │ else receive, stage and keep the      │
//	│    ▲       └──► failure: back off    │          │ reply in one job, then answer         │
//	│    └── same id, same bytes ──┘       │          └──────────────────────────────────────┘
//	└──────────────────────────────────────┘                             ▲ PUT /send/{txnId}
//	      │ transport.Client                                transport.Server │
//
// The outbox has one dispatcher goroutine, which owns all that is known of the destinations in memory, and one short-lived
// goroutine per transaction in flight. The decisions are plain functions: batch.go chooses what goes into a transaction,
// backoff.go when to try again.
//
// Rules: Server-Server API, "Transactions" and "EDUs" (T-01 to T-15).
//
// Not here: what an event means (pdu), and who should get it (pdu, messaging).
package transaction
