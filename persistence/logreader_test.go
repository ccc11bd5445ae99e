// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
)

// What many servers at one place of the log have to get is read once for all, and each gets its own.
func TestTheLogIsReadOnceForMany(t *testing.T) {
	s := newStore(t, Options{})
	servers := make([]ident.ServerName, 100)
	for i := range servers {
		servers[i] = ident.ServerName(fmt.Sprintf("s%d.example", i))
	}
	all := enqueue(t, s, servers...)
	one := enqueue(t, s, servers[7])
	update(t, s, func(tx *Tx) error {
		log, before := tx.ReadLog(), 0
		for i, server := range servers {
			var got []Position
			through, atEnd, err := log.Next(server, all-1, 10, func(item Outbound) bool {
				got = append(got, item.Position)
				return true
			})
			want := []Position{all}
			if i == 7 {
				want = []Position{all, one}
			}
			if diff := cmp.Diff(want, got); err != nil || through != one || !atEnd || diff != "" {
				t.Errorf("%s: through %d, at the end %t, %v\n%s", server, through, atEnd, err, diff)
			}
			if i == 7 { // by now all has been read
				before = tx.conn.executed
			}
		}
		if n := tx.conn.executed - before; n != 0 {
			t.Errorf("%d statements for the last %d servers, want none", n, len(servers)-8)
		}
		return nil
	})
}

// The number of a server whose first mention was rolled back is given to another.
func TestARolledBackServerIsForgotten(t *testing.T) {
	s := newStore(t, Options{})
	errBad := errors.New("bad")
	err := s.Update(t.Context(), func(tx *Tx) error {
		if _, err := tx.ServerNID("gone.example"); err != nil {
			return err
		}
		return errBad
	})
	if !errors.Is(err, errBad) {
		t.Fatal(err)
	}
	numbers := map[ident.ServerName]int64{}
	for _, name := range []ident.ServerName{"other.example", "gone.example"} {
		update(t, s, func(tx *Tx) (err error) {
			numbers[name], err = tx.ServerNID(name)
			return err
		})
	}
	if diff := cmp.Diff(map[ident.ServerName]int64{"other.example": 1, "gone.example": 2}, numbers); diff != "" {
		t.Error(diff)
	}
}
