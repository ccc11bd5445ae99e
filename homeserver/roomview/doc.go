// SPDX-License-Identifier: Apache-2.0

// Package roomview is what a room is for a user as of a position: in which rooms they are, which events they may see, what the state
// was, who else is there, what relates to events, and how all of it is written for clients.
//
//	position       12      15        20            31
//	@us            invite  join      -             leave           hs_memberships: one row for each change
//	timeline               J   m m m topic m m  m  L   m           events by position
//	state          ·       R1        R2            R3              roots by position (pdu): as of any P, in one look
//	                       └─ seen by @us ────────┘   └ not seen   Sight: visibility as at the event
//
// Rows are derived from the stream by the feed's goroutine, in the job that moves its cursor; what a user is to rooms that this server
// is not in is told by messaging, in its own jobs. Everything else is read from the room engine, whose states never change: what is
// remembered here is remembered by root.
//
// Not here: filters, sections and modes of a sync (compose), who is woken (dispatch).
package roomview
