// SPDX-License-Identifier: Apache-2.0

// Package inspect is what there is to see in a server's store: transactions, events with their verdicts, rooms. Its results are
// plain structs whose JSON form is the one that commands print.
//
//	a running server ── Server.Store() ──┐
//	                                     ├──► Inspector ──► Transactions  Transaction
//	the file of a stopped one ── Open ───┘                  Event         Explain  Journey   Refused
//	                           (read-only)                  Rooms         Room     Timeline  State
//	                                                        Graph         Heads    Gaps
//	                                                        Queues        Queue    QueueShape
//	                                                        Peers         Peer     PeerErrors  PeerTimeline
//
//	TransactionFile ── as a file, elsewhere too ──► Verify  Explain  Diff
//
// It reads the store and nothing else, in short views of a few indexed rows: a running server hardly notices, and a stopped one
// can be looked into in the same way. Each result is true of one moment; two parts of one answer can be moments apart.
//
// Times are milliseconds since 1970 (UTC), durations are named with their unit. What a remote server wrote is passed on as it
// is: whoever shows it on a terminal has to make it harmless first.
//
// Not here: how results are shown (cmd/strata), how they travel (internal/control), and anything that changes the store.
package inspect
