// SPDX-License-Identifier: Apache-2.0

// Package load puts a Matrix homeserver, whichever it is, under the load of other homeservers. Each origin is a server with a name,
// a key and a port of its own: it joins rooms of the target as any server would, sends signed events in transactions, and answers
// what the target asks in turn.
//
//	     origin 1 ──┐                                    ┌───────────┐
//	     origin 2 ──┼── make_join, send_join ───────────►│           │
//	     origin 3 ──┘   PUT /send, one in flight each ──►│  target   │
//	          ▲                                          │           │
//	          └── keys, event, state, state_ids, ────────┤           │
//	              missing events, backfill               └───────────┘
//
//	Open    the origins listen, and join their rooms
//	Build   all events are made and signed, all transactions written and signed: while the clock runs, nothing is but sent
//	Send    transactions at a rate, or as fast as the target answers
//	Settle  waits until the target shows the last event of each room: an answer to a transaction may be a promise only
//
// What is sent hangs on the seed alone, but for keys, names and times: two targets that are given the same seed and the same
// numbers get the same events. A room belongs to one origin, so that nothing that is sent rests on what another origin has sent:
// the target asks for nothing when it loses nothing. Forks are in a room's own history.
//
// Not here: clients of the target, events of the target's own users, EDUs, and a verdict on what the target made of an event beyond
// what its answers say.
package load
