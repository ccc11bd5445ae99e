// SPDX-License-Identifier: Apache-2.0

// Package transaction moves transactions between servers: each inbound one is worked on once and its reply kept, each
// destination has at most one outbound one in flight, and what was acknowledged or enqueued survives any crash.
//
//	 pdu, messaging                                     pdu, messaging
//	      │ EnqueuePDU, EnqueueEDU: in the caller's job      ▲ ReceivePDUs, KeepEDU, ObserveEDU
//	      ▼                                                  │
//	┌─ outbox ─────────────────────────────┐          ┌─ inbox ──────────────────────────────┐
//	│ log: one row per event, a set of     │          │ seen (origin, txn id)?  the kept reply│
//	│ servers; a destination is a cursor   │          │ running?                wait for it   │
//	│ freeze ─► send ─► 200: cursor moves  │          │ else receive, stage and keep the      │
//	│    ▲       ├──► failure: back off    │          │ reply in one job, then answer         │
//	│    ├── same id, same bytes ──┤       │          └──────────────────────────────────────┘
//	│    └── new ids, by halves ◄ refused  │                             ▲ PUT /send/{txnId}
//	│          one alone, refused ─► parked│                             │
//	└──────────────────────────────────────┘                             │
//	      │ transport.Client                                transport.Server │
//
// The outbox has one dispatcher goroutine, which owns all that is known of the destinations in memory, and one
// goroutine per transaction in flight (workers.go, turn.go, record.go); what several of those want of the store at the same time is one job of
// it (convoy.go). The decisions are plain functions: batch.go chooses what goes into a transaction, backoff.go when to try again,
// poison.go what becomes of one that is refused. Operators hold queues, try them again and drop from them (holds.go, drop.go).
// Destinations that are failing share a few places of their own (destination.go), so that those which hang delay no other; what all
// are past is forgotten a portion at a time (trim.go), and so are transactions that are over, after a week at most (retention.go).
//
// A transaction that is refused for what is in it is an answered one: poison.go tells how we read T-02. It is withdrawn, and its
// contents go out anew under other ids, until what is refused stands alone. That is set aside and tried again now and then; what is
// behind it goes on, in order, the same room's events too: whoever takes them fetches what they refer to.
//
// Rules: Server-Server API, "Transactions" and "EDUs" (T-01 to T-15).
//
// A server that stays away does not hold on to the log: its old part is compacted, of which each room's newest event is left to stand
// for the room, what concerns the server's own users, and EDUs (compact.go). When the server is back it is given, where it meets such
// an event, the room's present instead: the last words on its own users, who may have been removed, and the forward extremities, whoever
// made them, from which it finds the rest (catchup.go). They are queued for it one by one, ahead of the log: which of them it refuses is found like anything else that it refuses.
//
// A Strata that was away does not wait to be found: it asks the servers of its rooms for what they have for it (puller.go). The answer
// is the transaction that would be sent next, under the id under which it would be, so that the inbox works on it once whichever way it
// comes; the next question names it, and so acknowledges it (pull.go). Who knows nothing of that is asked once, and sends as ever.
//
// EDUs that must arrive, messages to devices and changes of device lists, stand in the log like events. Typing, presence and receipts
// are of use only now: they wait in memory, the latest of each key, and fill up what room a transaction has (volatile.go).
//
// Not here: what an event means, what a room's present is (pdu, over Rooms), and who should get it (pdu, messaging).
package transaction
