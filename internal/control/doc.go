// SPDX-License-Identifier: Apache-2.0

// Package control is how commands reach a server: questions and orders as JSON over HTTP, on a Unix socket beside the server's
// file. Who may write to the socket is the server's owner, so nobody has to log in.
//
//	strata txn ls ──► Client ──► <data_dir>/ctl.sock ──► Handler ──► inspect.Inspector ──► store
//	strata send   ──► Client ──►        …            ──► Handler ──► messaging.Server
//	strata txn tail                         …            ──► Handler ──► Watch ◄── the server's trace
//	--db FILE     ──► Client ──►    in this process  ──► Handler ──► inspect.Inspector ──► file of a stopped server
//
// Every operation is one line, in operations.go or the file of its subject: a name, the type of its question and that of its answer. Client and handler are
// made of the same line. On the wire it is POST /v1/<name> with the question as body; curl --unix-socket does as well as strata.
//
// An error keeps its kind on the way: what was not found on the server is not found for the command. See Kind.
//
// Not here: how answers are shown (cmd/strata), what they consist of (internal/inspect), and any access from other machines.
package control
