// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Errors that a caller can act upon. They come wrapped with the path of the file and what SQLite said.
var (
	// ErrClosed: the store was closed, or its goroutine stopped. The job did not get an answer: after an orderly Close it never
	// ran; after a crash point it may be found in the file when the file is next opened.
	ErrClosed = errors.New("store is closed")
	// ErrForeignFile: the file is not a Strata store; it was left as it was. Give another path.
	ErrForeignFile = errors.New("file is not a Strata store")
	// ErrNewerSchema: a later release wrote the file. Run that release, or restore the backup taken before the upgrade.
	ErrNewerSchema = errors.New("file was written by a newer release of Strata")
	// ErrOlderSchema: the file needs a migration, which a read-only store cannot do. Open it once for writing.
	ErrOlderSchema = errors.New("file was written by an older release of Strata and is not upgraded yet")
	// ErrInUse: another Store, in this process or another, has the file. Stop that server, or ask it instead of its file.
	ErrInUse = errors.New("file is in use by a running server")
	// ErrReadOnly: the file, its directory or the Store cannot be written to.
	ErrReadOnly = errors.New("store is read-only")
	// ErrFull: the disk, or a quota or limit on the file, is full. The job was rolled back; it may be tried again when there is
	// space, without opening the store anew.
	ErrFull = errors.New("no space left for the store")
	// ErrIO: the operating system could not read, write or sync the file. The job was rolled back and may be tried again; only if
	// it was the sync that failed, and the process ends before another commit succeeds, may the job be found in the file.
	ErrIO = errors.New("reading, writing or syncing the store went wrong")
	// ErrCorrupt: the file's contents contradict themselves. Stop, keep a copy, restore a backup.
	ErrCorrupt = errors.New("file is corrupt")
	// ErrWrongServer: the file belongs to a server of another name. Rooms and keys are bound to the name: give another path.
	ErrWrongServer = errors.New("file belongs to another server name")
)

var (
	errWriteInView = errors.New("statement that writes in View")
	errJobEnded    = errors.New("Tx used after its job has ended")
)

// meanings gives SQLite's primary result codes (https://www.sqlite.org/rescode.html) the sentinel that a caller can act upon.
var meanings = map[int]error{
	sqlite3.SQLITE_BUSY:     ErrInUse,
	sqlite3.SQLITE_LOCKED:   ErrInUse,
	sqlite3.SQLITE_READONLY: ErrReadOnly,
	sqlite3.SQLITE_IOERR:    ErrIO,
	sqlite3.SQLITE_CORRUPT:  ErrCorrupt,
	sqlite3.SQLITE_FULL:     ErrFull,
	sqlite3.SQLITE_NOTADB:   ErrForeignFile,
}

// explain wraps what the driver reported in the sentinel for it, if there is one.
func explain(err error) error {
	if meaning := meanings[resultCode(err)]; meaning != nil {
		return fmt.Errorf("%w: %w", meaning, err)
	}
	return err
}

// endsTransaction reports whether SQLite may have rolled the whole transaction back on its own when it returned err
// (https://www.sqlite.org/lang_transaction.html, "Response To Errors Within A Transaction").
func endsTransaction(err error) bool {
	switch resultCode(err) {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_INTERRUPT,
		sqlite3.SQLITE_CORRUPT:
		return true
	}
	return false
}

// resultCode is the primary result code in err, 0 (SQLITE_OK) when err did not come from SQLite.
func resultCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}
