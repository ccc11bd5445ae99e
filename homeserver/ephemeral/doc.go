// SPDX-License-Identifier: Apache-2.0

// Package ephemeral is what matters only now: who types, how far people have read, who is there.
//
//	clients ── Routes ───────────────┬─► one job: hs_typing, hs_receipts, hs_presence + stream entry ──► /sync
//	messaging ── Typing, Receipts, ──┤                                            │
//	             Presence (a queue)  │                                            └─► messaging: to other servers
//	Run: typing that has expired,  ──┘
//	     users who sync no more
//
// What other servers tell is queued, since they are not to wait, and written by Run, many at a time; when the queue is full it is
// dropped, as nobody promised to keep it. Private receipts never leave (M-53). Rules: Client-Server API, "Typing Notifications",
// "Receipts", "Fully read markers", "Presence" (S-05, S-18, S-32, M-50 to M-54).
//
// Not here: unread counts, which a receipt changes (push), and who may see whose presence, which a sync tells.
package ephemeral
