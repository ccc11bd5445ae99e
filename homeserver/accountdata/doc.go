// SPDX-License-Identifier: Apache-2.0

// Package accountdata is what users' clients keep on the server for themselves: account data, of the user and of the user in a room,
// tags, which are account data, and filters.
//
//	client ──► Routes ──► Set, in one job: hs_account_data + stream entry ──► the user's other devices
//	                          ▲
//	            push rules, read markers: types that only the server writes
//
// Nothing here leaves the server. Rules: Client-Server API, "Client Config", "Room Tagging", "Filtering" (S-02, S-19).
//
// Not here: what the data mean; a filter's meaning is told by who answers a sync.
package accountdata
