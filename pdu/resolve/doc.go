// SPDX-License-Identifier: Apache-2.0

// Package resolve is state resolution: it makes one room state of several, the same on every server that is given the same
// events. It has the algorithms of all room versions: v1 (room version 1), v2 (2 to 11) and v2.1 (12).
//
//	state sets S1, S2, …             only the slots in which they differ, and a look-up for all others
//	       │ split
//	       ├──────────────► unconflicted state: never listed, sorted or copied
//	       ▼
//	conflicted events ──► + auth difference ──► + conflicted state subgraph (v2.1)  =  full conflicted set
//	                                                                                         │
//	            ┌────────────── 1. power events, and their auth events in the set ◄──────────┤
//	            ▼                                                                            │
//	   reverse topological power ordering                            3. all others ◄─────────┘
//	            │                                                          │
//	            ▼                                                          ▼
//	   2. iterative auth checks ──► partial state ──► its mainline ──► mainline ordering
//	      on the unconflicted state (v2)                                   │
//	      on an empty map (v2.1)                                           ▼
//	                                5. unconflicted state on top ◄── 4. iterative auth checks
//
// The text is that of the Matrix specification: rooms/v1, "State resolution"; rooms/v2, "State resolution"; rooms/v12, "State
// resolution". A Resolution comes with a Trace: what conflicted, what was added to it, both orders, and every check.
//
// Where the spec leaves a choice, or other servers do not follow it:
//
//   - The full auth chain of a state holds the events of the state itself. The text leaves them out (rooms/v2, "Auth
//     difference"), Synapse counts them in, and servers must agree: an unconflicted event that only one set's conflicted
//     events cite would belong to the difference by the text and does not here. About one random fork in 500 shows it.
//   - A previously rejected event takes part (rooms/v2, "Rejected events"; P-78). Synapse skips it, and notes in its own code
//     that this is not what the text says. With that check taken out, its algorithm and this one agree.
//   - m.room.create is no power event (rooms/v2, "Power events"). Synapse counts it as one. It can make a difference only
//     where create events conflict.
//   - Power events are closed over auth events within the full conflicted set, as all servers do; the text can be read as
//     going on through events outside of it (rooms/v2, "Algorithm", step 1).
//   - In v2, power levels and join rules with a state key that is not empty are ordinary events, as all servers have it.
//   - In v1 the slots of members are decided independently of each other, and a conflict in which no event is allowed falls
//     to the one with the least depth; the text is silent (rooms/v1, "State resolution").
//
// The package is pure: it reads no clock, starts no goroutine and remembers nothing. It fetches no missing events (an unknown
// event is an error with its id), does not judge auth_events lists (auth.CheckAuthEvents does, on receipt), and does not store
// the result.
package resolve
