// SPDX-License-Identifier: Apache-2.0

// Package rooms is what clients do with rooms: they make them, enter and leave them, send, and read.
//
//	client ─► api.Route ─► decode ─► Rooms ─┬─► messaging.Server   events, handshakes with other servers
//	                                        ├─► pdu.Engine         states, single events, missing history
//	                                        ├─► roomview           who sees what, pages, what relates to events, how they are written
//	                                        └─► hs_* tables        transaction ids, aliases, directory, reports
//
// Whether something is allowed is for the rules of the room, in pdu: it is tried, and a refusal is put into the words of the
// Client-Server API in one place, refusal.go.
//
// What a transaction id has made is stored in the job that stores the event, so that a repetition, at the same time or after a crash,
// is answered with the same event (CS "Transaction identifiers").
//
// Aliases, the directory and invitations are also what other servers ask messaging.Core for. Which events relate to
// which is in the store, of all that have their place in the graph, whenever they came.
//
// Not here: previews of rooms (peeking), /sync, receipts, typing, push, and everything else that is no event of a room.
package rooms
