// SPDX-License-Identifier: Apache-2.0

// Package eventfilter is which events a client wants (CS "Filtering", "EventFilter" and "RoomEventFilter"; S-28).
//
//	types, senders, rooms, contains_url ──┐
//	                                      ├─► Wants(event)
//	not_types, not_senders, not_rooms ────┘  who win
//
// Not here: which sections of a sync there are, and what is done about members that are loaded lazily.
package eventfilter
