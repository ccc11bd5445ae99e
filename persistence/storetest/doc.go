// SPDX-License-Identifier: Apache-2.0

// Package storetest holds a persistence engine to the contract that every layer above relies on.
//
//	engine's test ──Opener──► Run ──► jobs: all or nothing, each alone, answered when durable
//	                              ──► positions: 1, 2, 3 … in the order of commits, whatever fails
//	                              ──► reads: committed data of one moment
//	                              ──► callbacks, cancellation, closing, crash points, opening again
//	               jobs ──► RunTimeline ──► events of a room by time and by number
//	                    ──► RunGaps, RunPartial, RunCompaction … ──► the tables of one subject
//
// The engine is seen through Store and Tx, which its test adapts to a scratch table; a subject's tables are seen through the few methods
// that its contract names, in a store with two rooms, numbered 1 and 2, events 1, 2 and 3 of the first, and the destination b.example. The
// suite checks the contract and nothing of how it is met: it does not count commits, measure time, kill processes or fill disks.
package storetest
