// SPDX-License-Identifier: Apache-2.0

// Package persistence keeps everything that a Strata server knows in one SQLite file, which one goroutine owns.
//
//	Update(job) ─► writes (bounded) ─┐      ┌───────────── one goroutine, one connection ─────────────┐
//	Update(job) ─►                   ├────► │ BEGIN                                                   │
//	Update(job) ─►                   │      │   SAVEPOINT job … RELEASE        each job alone: a job  │
//	                                 │      │   SAVEPOINT job … ROLLBACK TO    that fails is undone   │
//	View(job)   ─► reads (bounded) ──┘      │   SAVEPOINT job … RELEASE                               │
//	     between two commits, ahead of      │ last position                                           │
//	     what waits to be written           │ COMMIT, synced ─► AfterCommit functions ─► answers      │
//	                                        └─────────────────────────────────────────────────────────┘
//
// A caller hands a function to Update and has its answer when what the function wrote is durable. Jobs that wait at the same time
// share a transaction, and with it the cost of the sync. How much one transaction takes follows whether readers wait.
//
// Since one goroutine does all writing it can number what it writes: a Position is given out by NextPosition, belongs to the job
// until that commits, and returns if it does not. So positions have no gaps, never run backwards, and are one order for the whole
// server.
//
// # What holds
//
//   - An answer of nil means durable: at kill -9, and with NoSync unset at power loss as well.
//   - Any other answer means that nothing of the job was kept, with two exceptions: ErrClosed after a crash, where nobody can
//     know, and ErrIO when the sync itself failed and the process then ends before another commit succeeds.
//   - View sees committed data of one moment.
//   - An error or a panic in a job is the job's own. A full disk or an I/O error fails all the jobs of its commit; the store goes on
//     and works again when the disk does.
//   - A job that has started is answered, whatever becomes of its context. Before that it can be cancelled and then never runs.
//   - A file has one Store: an flock on the file beside it, ending in "-lock", says so and ends with the process.
//
// # Files
//
// store.go and owner.go are the two ends of the channels; tx.go is what a job can do; open.go, tables.go and lock.go open a file,
// upgrade it and keep others out. Every other file is one subject: its tables and the queries on them, as methods of Tx.
// Package storetest has the contract as a test suite, which another engine would have to pass.
//
// # What this package does not do
//
// It decides nothing: what is written and when is its callers' affair. It keeps no cache of rows. Jobs must not wait, do network I/O
// or call the Store: all others wait for them. It has no context for statements: a job is not interrupted. It works on systems
// with flock, thus not on Windows.
package persistence
