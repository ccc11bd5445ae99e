// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A query may be used again while its rows are being read: SQLite would otherwise start it over under the reader.
func TestNestedQuery(t *testing.T) {
	s := newStore(t, Options{})
	var got []string
	update(t, s, func(tx *Tx) error {
		for n := range 3 {
			if err := tx.Put(fmt.Sprint(n), int64(n)); err != nil {
				return err
			}
		}
		const keys = "SELECT key FROM scratch ORDER BY key"
		return tx.query(keys, nil, func(outer rowScanner) error {
			var a string
			if err := outer.Scan(&a); err != nil {
				return err
			}
			return tx.query(keys, nil, func(inner rowScanner) error {
				var b string
				err := inner.Scan(&b)
				got = append(got, a+b)
				return err
			})
		})
	})
	if diff := cmp.Diff([]string{"00", "01", "02", "10", "11", "12", "20", "21", "22"}, got); diff != "" {
		t.Error(diff)
	}
}

// The statements kept are bounded, and those being read are not closed for room.
func TestStatementsBounded(t *testing.T) {
	s := newStore(t, Options{})
	update(t, s, func(tx *Tx) error {
		if err := errors.Join(tx.Put("a", 1), tx.Put("b", 2)); err != nil {
			return err
		}
		return tx.query("SELECT value FROM scratch ORDER BY key", nil, func(row rowScanner) error {
			var value, same int64
			if err := row.Scan(&value); err != nil {
				return err
			}
			for n := range maxStatements + 10 {
				if _, err := tx.queryRow(fmt.Sprintf("SELECT %d + %d", n, value), nil, &same); err != nil || same != int64(n)+value {
					return fmt.Errorf("%d + %d = %d, %w", n, value, same, err)
				}
			}
			if got := len(tx.conn.statements); got > maxStatements {
				t.Errorf("%d statements kept, at most %d wanted", got, maxStatements)
			}
			return nil
		})
	})
}

func TestQueryHelpers(t *testing.T) {
	s := newStore(t, Options{})
	ctx := context.Background()
	update(t, s, func(tx *Tx) error {
		n, err := tx.execRows("INSERT INTO scratch (key, value, padding) VALUES ('a', 1, ?), ('b', 2, ?)", []byte{}, nil)
		if n != 2 {
			t.Errorf("execRows counted %d rows, want 2", n)
		}
		return err
	})
	var value int64
	var kind string
	err := s.View(ctx, func(tx *Tx) error {
		if found, err := tx.queryRow("SELECT value FROM scratch WHERE key = 'c'", nil, &value); found || err != nil {
			t.Errorf("a row that is not there: %t, %v; want false, nil", found, err)
		}
		if found, err := tx.queryRow("SELECT value FROM scratch ORDER BY key DESC", nil, &value); !found || err != nil || value != 2 {
			t.Errorf("first of two rows: %t, %v, %d; want true, nil, 2", found, err, value)
		}
		_, err := tx.queryRow("SELECT typeof(padding) FROM scratch WHERE key = 'a'", nil, &kind)
		return err
	})
	if err != nil || kind != "blob" {
		t.Errorf("an empty slice was stored as %q, %v; want blob", kind, err)
	}
	err = s.View(ctx, func(tx *Tx) error {
		return tx.query("SELECT value FROM scratch", nil, func(rowScanner) error { return errChild })
	})
	if !errors.Is(err, errChild) {
		t.Errorf("error of scan: %v, want it returned", err)
	}
	if err := s.View(ctx, func(tx *Tx) error { return tx.exec("DELETE FROM scratch") }); !errors.Is(err, errWriteInView) {
		t.Errorf("exec in View: %v", err)
	}
	// A write that hides in a query is undone with the read's transaction.
	err = s.View(ctx, func(tx *Tx) error {
		_, err := tx.queryRow("DELETE FROM scratch RETURNING value", nil, &value)
		return err
	})
	if all, _ := readAll(t, s); err != nil || len(all) != 2 {
		t.Errorf("after a write in a query of View: %v rows, %v; want both", all, err)
	}
	if err := s.Update(ctx, func(tx *Tx) error { return tx.exec("INSERT INTO none VALUES (1)") }); err == nil {
		t.Error("a statement about no table: no error")
	}
	if err := s.Update(ctx, func(tx *Tx) error { return tx.exec(`INSERT INTO scratch VALUES ("d", 1, NULL)`) }); err == nil {
		t.Error("a string in double quotes: no error")
	}
}
