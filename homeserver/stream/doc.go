// SPDX-License-Identifier: Apache-2.0

// Package stream is everything that clients are told "since", in one order: the store's own sequence. A room's event has its
// position in the store already; what else changes is entered here, in the job in which it becomes true.
//
//	a job:  the subject's own rows ── Append(kind, for whom) ── NextPosition
//	                                        │
//	                                  hs_stream (position, kind, room, user, device)
//
// An entry says that something changed, and for whom; what it is now stands in the subject's own tables. The feed works off what got a
// position, some milliseconds behind the store; whoever reads waits, by its progress, until it has come to where the store was when they
// asked: a client finds what it was answered.
package stream
