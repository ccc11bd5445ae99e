// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"database/sql/driver"
	"fmt"
	"io"
	"net/url"
	"regexp"

	"modernc.org/sqlite"
)

// maxStatements bounds the prepared statements kept. Query texts are constants of this package, some with a variable list of
// placeholders; about 200 are expected, at some 10 KiB each.
const maxStatements = 512

// connection is the one SQLite connection with its prepared statements. It has no lock: Open uses it first, from then on only
// the owner's goroutine does. It is the driver's own: database/sql, which shares connections out among goroutines, would take a
// quarter of the time of an insert to find the only one there is.
type connection struct {
	conn       driver.Conn
	statements map[string]*statement
	executed   int                 // statements run so far: the measure of a job's work
	args       []driver.NamedValue // of the statement that is being started
	sets       knownSets
	servers    knownServers
	body       knownBody
}

// forget drops what is kept of rows: some of them may be gone with what was rolled back.
func (c *connection) forget() {
	c.sets.forget()
	c.servers = nil
	c.body = knownBody{}
}

// statement is a prepared statement. SQLite keeps the cursor of a query inside it, so while a query is being read (busy) the same
// text needs another one.
type statement struct {
	prepared prepared
	values   row // the current row of a query
	busy     bool
	once     bool // not kept: used while the kept one of the same text is busy
}

// prepared is what the driver's statements can do.
type prepared interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// connect opens the connection to path and sets what holds for readers and writers. The query holds SQLite's URI parameters (https://www.sqlite.org/uri.html).
func connect(ctx context.Context, path string, query url.Values) (*connection, error) {
	query.Set("_dqs", "0")      // "x" is a column, never a string
	query.Set("_error_rc", "1") // no stale message beside a result code
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, err := new(sqlite.Driver).Open(dsn.String())
	if err != nil {
		return nil, explain(err)
	}
	c := &connection{conn: conn, statements: make(map[string]*statement)}
	for _, pragma := range []string{
		"PRAGMA busy_timeout = 0",
		"PRAGMA locking_mode = EXCLUSIVE", // before the first read. Halves the cost of point reads; the WAL's index is in memory
		"PRAGMA temp_store = MEMORY",      // or each savepoint costs a file
		"PRAGMA trusted_schema = OFF",
		fmt.Sprintf("PRAGMA cache_size = -%d", cacheKiB),
		fmt.Sprintf("PRAGMA mmap_size = %d", mmapBytes),
	} {
		if err := c.script(pragma); err != nil {
			_ = c.close() // the first error tells more
			return nil, explain(err)
		}
	}
	return c, nil
}

// script runs statements that are not worth keeping prepared.
func (c *connection) script(query string, args ...any) error {
	bound, err := c.bind(args)
	if err != nil {
		return err
	}
	scripts, ok := c.conn.(driver.ExecerContext)
	if !ok {
		return driver.ErrSkip
	}
	_, err = scripts.ExecContext(context.Background(), query, bound)
	return err
}

// get reads one row, while the file is being opened.
func (c *connection) get(query string, dest ...any) error {
	return c.query(query, nil, func(r rowScanner) error { return r.Scan(dest...) })
}

// bind makes the driver's values of a statement's arguments. They are good until the next call: the driver copies them.
func (c *connection) bind(args []any) ([]driver.NamedValue, error) {
	c.args = c.args[:0]
	for i, arg := range args {
		value, err := valueOf(arg)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: value})
	}
	return c.args, nil
}

// exec runs a prepared statement. Statements get no context: a job that has started runs to its end, and a context that can be
// cancelled would cost a goroutine per statement.
func (c *connection) exec(query string, args ...any) (driver.Result, error) {
	s, err := c.take(query)
	if err != nil {
		return nil, err
	}
	defer s.release()
	bound, err := c.bind(args)
	if err != nil {
		return nil, err
	}
	return s.prepared.ExecContext(context.Background(), bound)
}

// query runs a prepared statement and calls scan for each of its rows.
func (c *connection) query(query string, args []any, scan func(rowScanner) error) (err error) {
	s, err := c.take(query)
	if err != nil {
		return err
	}
	defer s.release()
	bound, err := c.bind(args)
	if err != nil {
		return err
	}
	rows, err := s.prepared.QueryContext(context.Background(), bound)
	if err != nil {
		return err
	}
	defer func() {
		if closed := rows.Close(); err == nil {
			err = closed
		}
	}()
	if s.values == nil {
		s.values = make(row, len(rows.Columns()))
	}
	for {
		switch err := rows.Next(s.values); {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		if err := scan(s.values); err != nil {
			return err
		}
	}
}

// boundLimit is a LIMIT whose number is bound. SQLite looks at the number when it plans, and plans anew, at 50 µs, whenever one is
// bound, the same one too; it does not look into a sum.
var boundLimit = regexp.MustCompile(`LIMIT (\?[0-9]*)`)

// take returns the statement for query, to be released when it is no longer being read.
func (c *connection) take(query string) (*statement, error) {
	c.executed++
	kept := c.statements[query]
	if kept != nil && !kept.busy {
		kept.busy = true
		return kept, nil
	}
	made, err := c.conn.Prepare(boundLimit.ReplaceAllString(query, "LIMIT ($1 + 0)"))
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	able, ok := made.(prepared)
	if !ok {
		return nil, driver.ErrSkip
	}
	s := &statement{prepared: able, busy: true, once: kept != nil}
	if !s.once {
		c.evict()
		c.statements[query] = s
	}
	return s, nil
}

func (s *statement) release() {
	s.busy = false
	if s.once {
		s.close()
	}
}

// close drops the statement. It would report the error of its last run, which that run's caller has seen.
func (s *statement) close() { _ = s.prepared.Close() }

// evict makes room for one more statement by closing any that is not being read.
func (c *connection) evict() {
	if len(c.statements) < maxStatements {
		return
	}
	for query, s := range c.statements {
		if !s.busy {
			s.close()
			delete(c.statements, query)
			return
		}
	}
}

// close gives everything back; SQLite moves the write-ahead log into the file if it can.
func (c *connection) close() error {
	for _, s := range c.statements {
		s.close()
	}
	return c.conn.Close()
}
