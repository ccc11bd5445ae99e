// SPDX-License-Identifier: Apache-2.0

// Command strata runs a Matrix federation server and shows what it does. Each noun of the grammar has a file of its own.
//
//	arguments ─► grammar (main.go) ─► one command ──────────┬─► output (table, tab-separated or JSON)
//	                                    │                   └─► exit code (exit.go)
//	                    ┌───────────────┴──────────┐
//	              serve, init, config         room, send, txn, event
//	              settings*.go                reach.go: socket of a running server,
//	              file < environment < flags            or --db FILE of a stopped one
//
// What is asked of a server goes through internal/control and nothing else: the commands hold no logic of their own. They do no
// more than read arguments, ask, and print. Text that came from other servers is made harmless before it reaches a terminal.
package main
