// SPDX-License-Identifier: Apache-2.0

// Package dispatch tells the requests that wait what concerns them, and no other.
//
//	feed ──► Dispatch(batch) ──► of each change: who is live and affected?
//	                                 room's event, receipt, typing ─► live users in the room
//	                                 a membership ─► its user          what is a user's own ─► the user
//	                                     └──► waiter whose filter it passes ──► woken
//
// A user is live while a request of theirs waits, and for a while after; only live users' rooms are known here. Parking is putting a
// waiter into its user's list. What happened between the look of a request and its parking is looked up in the ring: nothing is missed.
//
// Not here: what the change is, and what is said of it: whoever is woken composes an answer.
package dispatch
