// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"database/sql/driver"
	"errors"
	"fmt"
)

// Tx is a job's access to the store. It belongs to the job's function and is dead when that returns. The subjects' files give it
// their exported methods; the unexported ones here are what those are made of.
type Tx struct {
	conn     *connection
	sequence *sequence
	writes   bool     // Update rather than View
	ended    bool     // the job's function has returned
	fault    error    // an error after which the transaction may be gone: no further statement may run
	after    []func() // AfterCommit, in order
}

// AfterCommit has f run on the store's goroutine once the job is durable, before Update returns and in the order of the commits:
// the place to update a cache or wake a worker. f must not block and must not use the store. It does not run when the job fails.
func (tx *Tx) AfterCommit(f func()) {
	tx.after = append(tx.after, f)
}

// exec runs a statement that writes.
func (tx *Tx) exec(query string, args ...any) error {
	_, err := tx.execRows(query, args...)
	return err
}

// execRows is exec that tells how many rows the statement inserted, updated or deleted.
func (tx *Tx) execRows(query string, args ...any) (affected int64, err error) {
	result, err := tx.run(query, args)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// insert is exec for a statement that inserts one row or none, with the row's number: a third cheaper than RETURNING.
func (tx *Tx) insert(query string, args ...any) (rowid int64, inserted bool, err error) {
	result, err := tx.run(query, args)
	if err != nil {
		return 0, false, err
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		return 0, false, err
	}
	rowid, err = result.LastInsertId()
	return rowid, true, err
}

func (tx *Tx) run(query string, args []any) (driver.Result, error) {
	if err := tx.check(); err != nil {
		return nil, err
	}
	if !tx.writes {
		return nil, fmt.Errorf("%w: %s", errWriteInView, query)
	}
	result, err := tx.conn.exec(query, args...)
	if err != nil {
		return nil, tx.note(err)
	}
	return result, nil
}

// query calls scan for each row; an error from scan ends it and is returned. scan may run other statements.
func (tx *Tx) query(query string, args []any, scan func(rowScanner) error) error {
	if err := tx.check(); err != nil {
		return err
	}
	return tx.note(tx.conn.query(query, args, scan))
}

// queryRow scans the first row into dest; found is false when there is none.
func (tx *Tx) queryRow(query string, args []any, dest ...any) (found bool, err error) {
	err = tx.query(query, args, func(row rowScanner) error {
		if err := row.Scan(dest...); err != nil {
			return err
		}
		found = true
		return errFirstRow
	})
	if errors.Is(err, errFirstRow) {
		err = nil
	}
	return found, err
}

// errFirstRow ends a query after its first row.
var errFirstRow = errors.New("first row only")

// check refuses a statement when the job is over or its transaction may be.
func (tx *Tx) check() error {
	if tx.ended {
		return errJobEnded
	}
	return tx.fault
}

// note explains err, and remembers it when the transaction may have gone with it: a later statement of the job would otherwise
// run, and stay, outside any transaction.
func (tx *Tx) note(err error) error {
	if err == nil {
		return nil
	}
	ends := endsTransaction(err)
	err = explain(err)
	if ends {
		tx.fault = err
	}
	return err
}
