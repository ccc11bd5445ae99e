// SPDX-License-Identifier: Apache-2.0

// Package messaging is Strata as a homeserver's core links it: rooms that are shared with other servers. Open gives a Server, which
// is the whole stack in one value; its calls send, invite, knock, join and leave, its subscriptions call back with every accepted event.
//
//	              the homeserver's core
//	  CreateRoom  Send  Invite             ▲ Subscribe: in order, at least once, from a durable cursor
//	      │       Join  Knock  Leave       │ Core: asked of, and told of invitations in the job that keeps them
//	┌─────▼──────────── Server ────────────┴──────────┐
//	│  join, knock and leave     resident's side      │     make_join  send_join
//	│  over others,              of all three,        │◄──  make_leave send_leave  make_knock  send_knock
//	│  inviter's side            invited one's side   │     invite
//	│        │                        │               │
//	│  pdu.Engine ── judged, stored, current state    │
//	│        │                        ▲               │
//	│  transaction.Outbox      transaction.Inbox      │◄──  PUT /send
//	│        │                        ▲               │
//	│  transport.Client         transport.Server      │
//	└────────┼────────────────────────▲───────────────┘
//	         ▼                        │
//	              other servers
//
// What a handshake brings is material, not an order: a template is held against what was asked for before anything is signed
// (M-03), and a room counts as joined when everything that came with it has been verified (M-17). The resident's side asks the
// conditions of a restricted room itself, each time it is to sign for one of its users (M-13).
//
// Open builds the layers bottom-up and Close takes them down in reverse. Between them the server owns its goroutines: the outbox's,
// the engine's, the store's. If one of those gives up the server ends: see Server.Done.
//
// A join asks for no members: the room is usable at once, pdu fetches the rest, and meanwhile joins and leaves of further users go over
// a server that knows all (M-10, M-12). One that came to nothing, though a server has taken it or may have, is taken back. How far
// those under way have come, Joins tells.
//
// Content of other servers is opened, never held: DownloadMedia gives a reader that is bounded in size and time. Ours is the
// homeserver's to keep; other servers get it through Core.Media.
//
// An invitation is signed by both servers before the room gets it. Of a user of ours who is invited to a room that this server is not
// in, or knocks there, the store knows only that (outside.go): what the room shows of itself is given to the homeserver, stripped, and
// kept there. It ends by a leave over a server of the room, or here alone (M-25), or by the word of who invited (retraction.go).
// Who is invited by an address only becomes so when an identity server has signed whose it is (thirdparty.go).
//
// What is no event goes over the same transactions (EDUs) or is asked for directly. What the homeserver has of it, it says with the
// capabilities of Core: those that promise to keep something are called in the job that acknowledges it, with the transaction of the
// store, and what is sent durably is queued in a job of the caller's, SendToDevice for one. Of the device lists of others Server keeps
// track: it fetches those of which an update is missing, and tells the homeserver of changes in order.
//
// Not here: accounts, profiles, client sync (a homeserver's core has them); how events are judged,
// server ACLs kept and policy servers asked (pdu), and how events are delivered (transaction).
package messaging
