// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"regexp"
)

// maxStatements bounds the prepared statements kept. Query texts are constants of this package, some with a variable list of
// placeholders; about 200 are expected, at some 10 KiB each.
const maxStatements = 512

// connection is the one SQLite connection with its prepared statements. It has no lock: Open uses it first, from then on only
// the owner's goroutine does.
type connection struct {
	db         *sql.DB
	conn       *sql.Conn
	statements map[string]*statement
	executed   int // statements run so far: the measure of a job's work
}

// statement is a prepared statement. SQLite keeps the cursor of a query inside it, so while a query is being read (busy) the same
// text needs another one.
type statement struct {
	prepared *sql.Stmt
	busy     bool
	once     bool // not kept: used while the kept one of the same text is busy
}

// connect opens the connection to path and sets what holds for readers and writers. The query holds SQLite's URI parameters (https://www.sqlite.org/uri.html).
func connect(ctx context.Context, path string, query url.Values) (*connection, error) {
	query.Set("_dqs", "0")      // "x" is a column, never a string
	query.Set("_error_rc", "1") // no stale message beside a result code
	dsn := url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: query.Encode()}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx)
	if err != nil {
		_ = db.Close() // it holds nothing yet
		return nil, explain(err)
	}
	c := &connection{db: db, conn: conn, statements: make(map[string]*statement)}
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
	_, err := c.conn.ExecContext(context.Background(), query, args...)
	return err
}

// get reads one row, while the file is being opened.
func (c *connection) get(query string, dest ...any) error {
	return c.conn.QueryRowContext(context.Background(), query).Scan(dest...)
}

// exec runs a prepared statement. Statements get no context: a job that has started runs to its end, and a context that can be
// cancelled would cost a goroutine per statement.
func (c *connection) exec(query string, args ...any) (sql.Result, error) {
	s, err := c.take(query)
	if err != nil {
		return nil, err
	}
	defer s.release()
	return s.prepared.ExecContext(context.Background(), args...)
}

// query runs a prepared statement and calls scan for each of its rows.
func (c *connection) query(query string, args []any, scan func(*sql.Rows) error) (err error) {
	s, err := c.take(query)
	if err != nil {
		return err
	}
	defer s.release()
	rows, err := s.prepared.QueryContext(context.Background(), args...)
	if err != nil {
		return err
	}
	defer func() {
		if closed := rows.Close(); err == nil {
			err = closed
		}
	}()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
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
	prepared, err := c.conn.PrepareContext(context.Background(), boundLimit.ReplaceAllString(query, "LIMIT ($1 + 0)"))
	if err != nil {
		return nil, fmt.Errorf("prepare %q: %w", query, err)
	}
	s := &statement{prepared: prepared, busy: true, once: kept != nil}
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
	return errors.Join(c.conn.Close(), c.db.Close())
}
