// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/strata-matrix/strata/transport/ident"
)

func enqueue(t *testing.T, s *Store, servers ...ident.ServerName) (position Position) {
	t.Helper()
	update(t, s, func(tx *Tx) error {
		item, err := tx.Enqueue(Outbound{Kind: KindPDU, Content: []byte(`{}`)}, servers)
		position = item.Position
		return err
	})
	return position
}

// An event for ten thousand servers costs what one for two costs, once the set is known, in whatever order it is given.
func TestEnqueueOfAKnownSetDoesNotGrowWithIt(t *testing.T) {
	s := newStore(t, Options{})
	servers := make([]ident.ServerName, 500)
	for i := range servers {
		servers[i] = ident.ServerName(fmt.Sprintf("s%d.example", i))
	}
	enqueue(t, s, servers...)
	slices.Reverse(servers)
	statements, sets := 0, 0
	update(t, s, func(tx *Tx) error {
		before := tx.conn.executed
		_, err := tx.Enqueue(Outbound{Kind: KindPDU, Content: []byte(`{}`)}, servers)
		statements = tx.conn.executed - before
		return err
	})
	update(t, s, func(tx *Tx) error {
		_, err := tx.queryRow(`SELECT COUNT(*) FROM server_sets`, nil, &sets)
		return err
	})
	if statements > 5 || sets != 1 {
		t.Errorf("%d statements, %d sets, want a few and 1", statements, sets)
	}
}

func TestQueueLengthLooksPastOthersItems(t *testing.T) {
	s := newStore(t, Options{})
	enqueue(t, s, "a.example", "b.example")
	for range 20 {
		enqueue(t, s, "b.example")
	}
	last := enqueue(t, s, "a.example")
	for _, tt := range []struct {
		cursor Position
		limit  int
		want   int
	}{{0, 10, 2}, {0, 1, 1}, {1, 10, 1}, {last, 10, 0}} {
		var got int
		update(t, s, func(tx *Tx) (err error) {
			got, err = tx.QueueLength(Destination{Server: "a.example", Cursor: tt.cursor}, tt.limit)
			return err
		})
		if got != tt.want {
			t.Errorf("QueueLength from %d, at most %d = %d, want %d", tt.cursor, tt.limit, got, tt.want)
		}
	}
}

func TestBehind(t *testing.T) {
	s := newStore(t, Options{})
	first := enqueue(t, s, "done.example", "asked.example", "late.example")
	last := enqueue(t, s, "late.example", "new.example")
	update(t, s, func(tx *Tx) error {
		for server, cursor := range map[ident.ServerName]Position{"done.example": first, "asked.example": last, "late.example": first} {
			if err := tx.SetDestination(Destination{Server: server, Cursor: cursor}); err != nil {
				return err
			}
		}
		_, err := tx.Freeze(SentTransaction{Destination: "asked.example", TxnID: "t", Body: []byte(`{}`), Through: last})
		return err
	})
	var got map[ident.ServerName]bool
	update(t, s, func(tx *Tx) (err error) {
		got, err = tx.Behind()
		return err
	})
	want := map[ident.ServerName]bool{"asked.example": true, "late.example": true, "new.example": true}
	if !maps.Equal(got, want) {
		t.Errorf("Behind = %v, want %v", got, want)
	}
}

func TestTrimOutboundInPortions(t *testing.T) {
	s := newStore(t, Options{})
	for range 5 {
		enqueue(t, s, "a.example")
	}
	for _, want := range []int64{2, 1, 0} { // of positions 1 to 3
		var got int64
		update(t, s, func(tx *Tx) (err error) {
			got, err = tx.TrimOutbound(3, 2)
			return err
		})
		if got != want {
			t.Errorf("%d items forgotten, want %d", got, want)
		}
	}
	var left []Outbound
	update(t, s, func(tx *Tx) (err error) {
		_, _, err = tx.NextOutbound("a.example", 0, 10, func(item Outbound) bool { left = append(left, item); return true })
		return err
	})
	if len(left) != 2 || left[0].Position != 4 {
		t.Errorf("left: %v", left)
	}
}

// A row that is refused, and every row behind it, is still to come; rows for others are passed over.
func TestNextOutboundStopsWhereItIsToldTo(t *testing.T) {
	s := newStore(t, Options{})
	for _, server := range []ident.ServerName{"a.example", "b.example", "a.example", "b.example"} {
		enqueue(t, s, server)
	}
	for _, tt := range []struct {
		after       Position
		scan, limit int
		taken       int
		through     Position
		atEnd       bool
	}{
		{0, 10, 10, 2, 4, true},
		{0, 10, 1, 1, 2, false}, // up to just before the one refused
		{0, 10, 0, 0, 0, false},
		{0, 2, 10, 1, 2, false},
		{0, 4, 10, 2, 4, false}, // whether a fifth stands behind was not looked at
		{3, 10, 10, 0, 4, true},
	} {
		taken, through, atEnd := 0, Position(0), false
		update(t, s, func(tx *Tx) (err error) {
			through, atEnd, err = tx.NextOutbound("a.example", tt.after, tt.scan, func(Outbound) bool {
				if taken == tt.limit {
					return false
				}
				taken++
				return true
			})
			return err
		})
		if taken != tt.taken || through != tt.through || atEnd != tt.atEnd {
			t.Errorf("after %d, scan %d, limit %d: %d taken, through %d, at end %t, want %d, %d, %t",
				tt.after, tt.scan, tt.limit, taken, through, atEnd, tt.taken, tt.through, tt.atEnd)
		}
	}
}

// Of the sets that nothing queued names only the newest stay, and those that are named stay readable.
func TestTrimServerSets(t *testing.T) {
	s := newStore(t, Options{})
	var named Position
	for i := range 10 {
		p := enqueue(t, s, "a.example", ident.ServerName(fmt.Sprintf("s%d.example", i)))
		if i == 2 {
			named = p
		}
	}
	update(t, s, func(tx *Tx) error {
		if err := tx.exec(`DELETE FROM outbound WHERE position <> ?`, int64(named)); err != nil {
			return err
		}
		total := int64(0)
		for next := int64(0); ; {
			forgotten, after, err := tx.TrimServerSets(next, 4, 3)
			if err != nil {
				return err
			}
			if total += forgotten; after == 0 {
				break
			}
			next = after
		}
		if total != 5 {
			t.Errorf("%d sets forgotten, want 5: of ten, four are new and one is named", total)
		}
		length, err := tx.QueueLength(Destination{Server: "s2.example"}, 10)
		if length != 1 {
			t.Errorf("s2.example has %d items to get, want 1", length)
		}
		return err
	})
}
