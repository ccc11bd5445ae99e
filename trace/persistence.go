// SPDX-License-Identifier: Apache-2.0

package trace

import "time"

// StoreCommit is one durable transaction of the store.
type StoreCommit struct {
	Jobs       int   // callers whose work it made durable
	Failed     int   // callers whose work was rolled back while it was being put together
	Statements int   // run in it, those of failed jobs included
	Last       int64 // the last position in the file after it
	Took       time.Duration
}

// Kind implements Event.
func (StoreCommit) Kind() string { return "persistence.commit" }

// StoreCommitFailed is a transaction of the store that was lost as a whole: full disk, I/O error. Its callers were told.
type StoreCommitFailed struct {
	Jobs int
	Err  error
}

// Kind implements Event.
func (StoreCommitFailed) Kind() string { return "persistence.commit_failed" }

// StorePanic is a job or callback that panicked on the store's goroutine: a bug in the code that gave it.
type StorePanic struct {
	Value string
	Stack string
}

// Kind implements Event.
func (StorePanic) Kind() string { return "persistence.panic" }

// StoreClosed is the end of the store's goroutine. Cause tells an orderly close from a crash point.
type StoreClosed struct {
	Cause error
}

// Kind implements Event.
func (StoreClosed) Kind() string { return "persistence.closed" }
