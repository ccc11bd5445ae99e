// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/strata-matrix/strata/trace"
)

// Layout and caches, chosen by measurement for rows of about 1 KB up to a million of them.
const (
	pageSize       = 8192    // bytes; only a new file can choose. Against 4096: up to a third less CPU per insert
	cacheKiB       = 16_000  // SQLite's page cache. Most commits walk it, and reads are mapped: 32 MB cost 4 % of what is taken in a second, 256 MB half the CPU again
	mmapBytes      = 1 << 31 // SQLite clamps to its own limit; point reads of a large file get 4 to 5 times cheaper
	checkpointPage = 4000    // pages of WAL before its contents move: 100 costs 35–50 % CPU, 10000 gives commits of 60 ms
)

// Point is a place in the life of a commit at which a simulation may crash the store.
type Point int

const (
	// BeforeCommit: the group's jobs have run, nothing is in the file. A crash here loses the whole group.
	BeforeCommit Point = iota
	// AfterCommit: the group is durable, nobody has been told. A crash here loses nothing.
	AfterCommit
)

// Options say which file to open and how. Path is required.
type Options struct {
	Path       string // of the SQLite file; its directory must exist. SQLite's and the lock's files are beside it
	ServerName string // written when the file is created, and must match later. With ReadOnly it may be empty: any
	ReadOnly   bool   // inspect the file of a stopped server; needs no right to write and changes nothing
	NoSync     bool   // leave out every sync: for simulations, whose machine does not lose power
	// CommitPoint, when set, is called on the store's goroutine at each point of each commit. An error is a crash there: the
	// goroutine stops as if the process had been killed, and every waiting and later call gets an error that wraps ErrClosed
	// and this one. For simulations.
	CommitPoint func(Point) error
	Annex       Annex      // the linking program's own tables; not looked at with ReadOnly
	Trace       trace.Sink // may be nil
}

// Open opens the file, creating or upgrading it as needed, and starts the goroutine that owns it. ctx covers the opening only.
// Errors: ErrForeignFile, ErrNewerSchema, ErrOlderSchema, ErrInUse, ErrReadOnly, ErrFull, ErrWrongServer.
func Open(ctx context.Context, options Options) (*Store, error) {
	return open(ctx, options, migrations)
}

func open(ctx context.Context, options Options, steps [][]string) (*Store, error) {
	path, err := realPath(options.Path)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", options.Path, err)
	}
	lock, err := lockStore(path, options.ReadOnly)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	conn, err := prepareFile(ctx, path, options, steps)
	if err != nil {
		unlock(lock)
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	store, err := start(conn, lock, options)
	if err != nil {
		_ = conn.close() // the first error tells more
		unlock(lock)
		return nil, fmt.Errorf("open store %s: %w", path, err)
	}
	return store, nil
}

// start makes the Store around an opened file, and its owner.
func start(conn *connection, lock *os.File, options Options) (*Store, error) {
	var name string
	var last int64
	if err := conn.get("SELECT server_name, last_position FROM store", &name, &last); err != nil {
		return nil, fmt.Errorf("read the store's row: %w", explain(err))
	}
	s := &Store{
		serverName: name,
		readOnly:   options.ReadOnly,
		writes:     make(chan *job, maxWaitingWrites),
		reads:      make(chan *job, maxWaitingReads),
		closing:    make(chan struct{}),
		done:       make(chan struct{}),
	}
	s.last.Store(last)
	s.close = sync.OnceFunc(func() { close(s.closing) })
	o := &owner{
		store:       s,
		conn:        conn,
		lock:        lock,
		sequence:    sequence{last: Position(last), saved: Position(last)},
		commitPoint: options.CommitPoint,
		trace:       trace.OrDiscard(options.Trace),
	}
	if o.commitPoint == nil {
		o.commitPoint = func(Point) error { return nil }
	}
	go o.run()
	return s, nil
}

// realPath makes path absolute and follows links, so that one file has one lock.
func realPath(path string) (string, error) {
	if path == "" {
		return "", errors.New("no path given")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) { // the file is new; its directory is not
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		return filepath.Join(dir, filepath.Base(path)), err
	}
	return real, err
}

// prepareFile connects to the file, checks whose it is and brings its schema up to date.
func prepareFile(ctx context.Context, path string, options Options, steps [][]string) (*connection, error) {
	connectTo := connectToWrite
	if options.ReadOnly {
		connectTo = connectToRead
	} else if options.ServerName == "" {
		return nil, errors.New("no server name given")
	}
	conn, err := connectTo(ctx, path)
	if err != nil {
		return nil, err
	}
	version, err := check(conn, options, len(steps))
	if err == nil && !options.ReadOnly {
		err = prepareToWrite(conn, version, steps, options)
	}
	if err != nil {
		_ = conn.close() // the first error tells more
		return nil, err
	}
	return conn, nil
}

// check refuses a file that is not ours to open, before anything in it is changed.
func check(conn *connection, options Options, newest int) (version int, err error) {
	version, err = identify(conn)
	switch {
	case err != nil:
		return 0, err
	case version > newest:
		return 0, fmt.Errorf("%w: version %d, this release knows %d", ErrNewerSchema, version, newest)
	case options.ReadOnly && version == 0:
		return 0, fmt.Errorf("%w: nothing was created in it yet", ErrForeignFile)
	case options.ReadOnly && version < newest:
		return 0, fmt.Errorf("%w: version %d of %d", ErrOlderSchema, version, newest)
	case version == 0:
		return 0, nil
	}
	return version, checkServer(conn, options)
}

// checkServer compares the name in the file with the one asked for.
func checkServer(conn *connection, options Options) error {
	var name string
	if err := conn.get("SELECT server_name FROM store", &name); err != nil {
		return fmt.Errorf("read the server name: %w", explain(err))
	}
	if name != options.ServerName && !(options.ReadOnly && options.ServerName == "") {
		return fmt.Errorf("%w: it is of %q, not %q", ErrWrongServer, name, options.ServerName)
	}
	return nil
}

// connectToWrite takes SQLite's exclusive lock with the first statement. Nothing is written before identify has passed.
func connectToWrite(ctx context.Context, path string) (*connection, error) {
	if err := touch(path); err != nil {
		return nil, err
	}
	return connect(ctx, path, url.Values{"mode": {"rw"}})
}

// prepareToWrite sets what only a writer sets, and migrates.
func prepareToWrite(conn *connection, version int, steps [][]string, options Options) error {
	if err := conn.script(fmt.Sprintf("PRAGMA page_size = %d", pageSize)); err != nil {
		return explain(err)
	}
	var mode string
	if err := conn.get("PRAGMA journal_mode = WAL", &mode); err != nil {
		return explain(err)
	}
	if mode != "wal" {
		return fmt.Errorf("journal mode is %q, not wal", mode)
	}
	synchronous := "FULL"
	if options.NoSync {
		synchronous = "OFF"
	}
	for _, pragma := range []string{
		"PRAGMA synchronous = " + synchronous,
		fmt.Sprintf("PRAGMA wal_autocheckpoint = %d", checkpointPage),
	} {
		if err := conn.script(pragma); err != nil {
			return explain(err)
		}
	}
	if err := migrate(conn, version, steps, options.ServerName); err != nil {
		return err
	}
	return conn.annex(options.Annex)
}

// unlock gives the lock back; there is none when a reader found no lock file.
func unlock(lock *os.File) {
	if lock != nil {
		_ = lock.Close() // closing an flock's only descriptor releases it
	}
}

// connectToRead opens the file of a stopped server so that nothing needs to be written or is. A file that was closed in good order
// is read as it is. One whose server was killed has commits in its write-ahead log, which SQLite takes in without writing when it
// need not lock ("unix-none"): the lock file's lock, which is held here, is stronger.
func connectToRead(ctx context.Context, path string) (*connection, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	query := url.Values{"mode": {"ro"}, "immutable": {"1"}}
	if wal, err := os.Stat(path + "-wal"); err == nil && wal.Size() > 0 {
		query = url.Values{"mode": {"ro"}, "vfs": {"unix-none"}}
	}
	return connect(ctx, path, query)
}
