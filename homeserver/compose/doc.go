// SPDX-License-Identifier: Apache-2.0

// Package compose answers syncs: what happened after a token and through now, for one user, as their filter wants it.
//
//	GET /sync ──► request ──► composition: since … now ──► anything? ──► answer, next_batch = now + 1
//	                 ▲              │  rooms as of since, as of now         │ no
//	                 │              │  room: timeline, state at its start   ▼
//	                 └── woken ◄────┴───────────────────────────── dispatch.Wait(interest)
//
// A token is a position and nothing is remembered of a request: the same question has the same answer, but for the age of events. The
// state of a room is a difference of two trees: as of since, and at the start of the timeline or at its end (S-06, S-07).
//
// Not here: what a user may see (roomview), and what is kept by the packages that Readers read.
package compose
