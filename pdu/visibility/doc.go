// SPDX-License-Identifier: Apache-2.0

// Package visibility says which events of a room a server may be shown (client-server API, "Room History Visibility"; P-90, M-112).
// The rules are about users. A server may see what one of its users may, since it holds the history for all of them.
//
//	setting at the event ─┐      less restrictive   ┌ world_readable: anyone
//	setting that it makes ┴───── of the two ───────►│ shared:         who is joined now, or was at the event
//	                                                │ invited:        who was joined or invited at the event
//	membership at the event ─┐   the greater        │ joined:         who was joined at the event
//	membership that it makes ┴───of the two ───────►└─► Decide ──► visible or not, and why
//
// "At the event" is the state before it. Only events that set the visibility, and the membership events of the server's own
// users, have a second side: what they set counts too.
//
// The package reads no state: the caller looks up the setting first, and asks for memberships only when NeedsMembers says so.
// It knows nothing of users who have erased themselves, nor of what a server was given before.
package visibility
