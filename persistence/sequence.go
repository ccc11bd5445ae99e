// SPDX-License-Identifier: Apache-2.0

package persistence

import "fmt"

// Position numbers everything that anyone may later ask for "since": accepted events, transactions, receipts. Positions of one
// file start at 1, have no gaps and never run backwards: the order of positions is the order of commits.
type Position int64

// storeSchema is the one row that describes the file: whose it is, and the last position given out.
const storeSchema = `
CREATE TABLE store (
	id            INTEGER PRIMARY KEY CHECK (id = 1),
	server_name   TEXT    NOT NULL,
	last_position INTEGER NOT NULL
) STRICT;
`

// sequence hands out positions. The owner's goroutine is its only user. Positions exist in memory until the group that took them
// commits; a job or a group that is rolled back gives its positions back, which is what keeps the sequence free of gaps.
type sequence struct {
	last  Position // last one given out, committed or not
	saved Position // last one in the file
}

// NextPosition takes the next position. It belongs to the job: if the job fails, the next one gets the same position.
func (tx *Tx) NextPosition() (Position, error) {
	if err := tx.check(); err != nil {
		return 0, err
	}
	if !tx.writes {
		return 0, fmt.Errorf("take a position: %w", errWriteInView)
	}
	tx.sequence.last++
	return tx.sequence.last, nil
}

// LastPosition is the last position taken: in View the last committed one, in Update including the job's own. 0 in a new file.
func (tx *Tx) LastPosition() Position { return tx.sequence.last }

// save writes the last position into the open transaction.
func (s *sequence) save(c *connection) error {
	if s.last == s.saved {
		return nil
	}
	if _, err := c.exec("UPDATE store SET last_position = ? WHERE id = 1", int64(s.last)); err != nil {
		return fmt.Errorf("save position %d: %w", s.last, err)
	}
	return nil
}

// committed says whether there are new positions.
func (s *sequence) committed() (grown bool) {
	grown, s.saved = s.last != s.saved, s.last
	return grown
}

func (s *sequence) rolledBack() { s.last = s.saved }
