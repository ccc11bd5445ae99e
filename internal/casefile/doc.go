// SPDX-License-Identifier: Apache-2.0

// Package casefile judges what somebody wrote down: rooms and events in a file, without a server or a store, so that two
// implementations can be held against each other.
//
//	file ──► parseObject ──► pool: every PDU parsed, by id ──┬──► Resolve ──► resolved state, trace of how
//	           members           P-13, P-15                  │       state sets, auth chains complete, no loops
//	                                                         └──► Check ────► verdict, the checks on receipt one by one
//	                                                                 P-25 … P-30
//
// Bytes go in and a result comes out; every error is a fault of the file and says where it is. The same code decides as in a
// server: pdu/event reads and verifies, pdu/auth has the rules, pdu/resolve the algorithms.
//
// The events around the judged one are taken at their word, as P-91 does not allow a server to: they need neither hashes nor
// signatures, and are not judged themselves. A content hash that is there and does not match leaves the redacted copy.
//
// The package reads no files (its callers do, up to MaxSize), fetches nothing, and knows keys only from the file. It asks no policy
// server: its signature is there or not.
package casefile
