// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"fmt"
	"strings"
)

// Annex is the tables of the program that links Strata, kept in the same file: what it writes is durable together with what it
// answers, and numbered by the one sequence. The zero value is none.
type Annex struct {
	// Name is what the names of all its tables and indexes begin with, followed by "_". It stays the same for good.
	Name string
	// Steps takes the annex from version n to n+1 with Steps[n], a script. One that was ever released does not change again.
	Steps []string
}

const annexesSchema = `
CREATE TABLE annexes (
	name    TEXT    PRIMARY KEY,
	version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;`

// Row is the current row of a query: Scan copies its columns into pointers to integers, strings, bytes and booleans, of any name, or to
// any. What is null can be scanned into bytes and any only.
type Row = rowScanner

// Exec runs a statement that writes to the tables of an annex, and tells how many rows it changed. Strata's own tables are not an
// annex's to write. Query texts are kept prepared: they are to be constants.
func (tx *Tx) Exec(query string, args ...any) (affected int64, err error) {
	return tx.execRows(query, args...)
}

// Query calls scan for each row; an error from scan ends it and is returned. scan may run other statements.
func (tx *Tx) Query(query string, args []any, scan func(Row) error) error {
	return tx.query(query, args, scan)
}

// QueryRow scans the first row into dest; found is false when there is none.
func (tx *Tx) QueryRow(query string, args []any, dest ...any) (found bool, err error) {
	return tx.queryRow(query, args, dest...)
}

// annex brings the tables of an annex up to date, in one transaction.
func (c *connection) annex(a Annex) error {
	if a.Name == "" {
		return nil
	}
	if err := c.script("BEGIN IMMEDIATE"); err != nil {
		return explain(err)
	}
	err := c.annexSteps(a)
	if err == nil {
		err = c.script("COMMIT")
	}
	if err != nil {
		_ = c.script("ROLLBACK") // the first error tells more
		return fmt.Errorf("tables of %s: %w", a.Name, err)
	}
	return nil
}

func (c *connection) annexSteps(a Annex) error {
	if err := c.script("INSERT OR IGNORE INTO annexes (name, version) VALUES (?, 0)", a.Name); err != nil {
		return err
	}
	version, err := c.annexVersion(a)
	if err != nil {
		return err
	}
	if version > len(a.Steps) {
		return fmt.Errorf("%w: version %d, this release knows %d", ErrNewerSchema, version, len(a.Steps))
	}
	before, err := c.foreignObjects(a)
	if err != nil {
		return err
	}
	for _, step := range a.Steps[version:] {
		if err := c.script(step); err != nil {
			return err
		}
	}
	after, err := c.foreignObjects(a)
	if err != nil {
		return err
	}
	if after != before {
		return fmt.Errorf("the name of a table does not begin with %s_", a.Name)
	}
	return c.script("UPDATE annexes SET version = ? WHERE name = ?", len(a.Steps), a.Name)
}

func (c *connection) annexVersion(a Annex) (version int, err error) {
	err = c.query("SELECT version FROM annexes WHERE name = ?", []any{a.Name}, func(r rowScanner) error { return r.Scan(&version) })
	return version, err
}

// foreignObjects counts the tables and indexes that are not the annex's.
func (c *connection) foreignObjects(a Annex) (n int, err error) {
	err = c.query("SELECT tbl_name FROM sqlite_schema", nil, func(r rowScanner) error {
		var name string
		err := r.Scan(&name)
		if !strings.HasPrefix(name, a.Name+"_") {
			n++
		}
		return err
	})
	return n, err
}
