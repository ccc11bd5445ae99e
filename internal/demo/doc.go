// SPDX-License-Identifier: Apache-2.0

// Package demo proves in a few seconds, on one machine and without any preparation, what Strata promises: several complete
// servers share a room over real TLS, one of them is killed in the middle with SIGKILL, and still every event reaches every server
// exactly once.
//
//	            the demo: orders on stdin, replies and news on stdout, one JSON object a line
//	     ┌──────────────────┬──────────────────┐
//	┌────▼─────┐       ┌────▼─────┐       ┌────▼─────┐
//	│ server 1 │◄─────►│ server 2 │◄─────►│ server 3 │   processes of their own; federation over TLS
//	└────┬─────┘       └────┬─────┘       └────┬─────┘
//	 strata.db          strata.db          strata.db
//	 deliveries         deliveries         deliveries      written and synced by the subscription's callback
//	     └──────────────────┴──────────────────┘
//	            judged from the files, when all servers have ended
//
// A server is the demo's own program run again (Options.Child), so that kill -9 hits a process and not a pretence. It ends when its
// standard input does: no server outlives the demo, however that ends.
//
// The proof does not rest on what the servers say while they run. Each server's callback writes the position and the id of every
// event to a file before it returns; at the end the files are held against the list of everything that was acknowledged to a
// sender. An event that comes again at the same position, after a crash, is what a durable subscription promises (at least once,
// with a stable position to tell it by); an event at two positions counts as delivered twice.
//
// Not here: other software (internal/interop), faults of the network and of the disk (internal/simnet), load and speed. Retries are
// quick so that nobody has to wait: a server waits seconds after a first failure, here a fraction of one.
package demo
