// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Backlog is a job's access to the outbound log and its old part.
type Backlog interface {
	Enqueue(item persistence.Outbound, servers []ident.ServerName) (persistence.Outbound, error)
	NextOutbound(server ident.ServerName, after persistence.Position, scan int, take func(persistence.Outbound) bool) (persistence.Position, bool, error)
	CompactOutbound(c persistence.Compaction, limit int) (persistence.Compacted, error)
	OldestOf(keep int) (persistence.Position, error)
}

// Presents is a job's access to the presents of rooms that servers are given.
type Presents interface {
	Backlog
	OutboundItem(position persistence.Position) (persistence.Outbound, bool, error)
	QueuePresent(server ident.ServerName, room ident.RoomID, events []persistence.Outbound, nowMS int64) error
	Present(server ident.ServerName, limit int) ([]persistence.Outbound, error)
	ForgetPresent(positions ...persistence.Position) error
	Covered(server ident.ServerName, from persistence.Position) (map[ident.RoomID]persistence.Position, error)
}

// queued is what the log has for a server, in words: room, event, and an exclamation mark where it stands for the room.
func queued(server ident.ServerName, next func(ident.ServerName, persistence.Position, int, func(persistence.Outbound) bool) (persistence.Position, bool, error)) (list []string, err error) {
	_, _, err = next(server, 0, 1000, func(item persistence.Outbound) bool {
		text := fmt.Sprint(item.RoomID, item.EventID)
		if item.Compacted {
			text += "!"
		}
		list = append(list, text)
		return true
	})
	return list, err
}

// RunCompaction holds the old part of the outbound log to its contract: of each room the newest event stays, and what concerns a
// server's own user for that server; EDUs stay until they are too old; what nobody needs goes. In one portion or in many.
func RunCompaction(t *testing.T, do func(job func(Backlog) error)) {
	t.Helper()
	put := func(room, event string, kind int, servers ...ident.ServerName) (position persistence.Position) {
		do(func(tx Backlog) error {
			item, err := tx.Enqueue(persistence.Outbound{
				Kind: kind, RoomID: ident.RoomID(room), EventID: ident.EventID(event), Content: []byte(event), QueuedAt: 1000,
				About: ident.UserID(event[:max(0, len(event)-2)]),
			}, servers)
			position = item.Position
			return err
		})
		return position
	}
	expect := func(when string, server ident.ServerName, want ...string) {
		do(func(tx Backlog) error {
			got, err := queued(server, tx.NextOutbound)
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s is to get %q, want %q", when, server, got, want)
			}
			return err
		})
	}
	after := persistence.Position(0)
	for _, portion := range []int{1, 3, 100} {
		const pdu, edu = persistence.KindPDU, persistence.KindEDU
		first := put("!r", "1", pdu, "away", "here")
		put("!s", "2", pdu, "here")
		put("!r", "@x:away 3", pdu, "away", "here")
		put("!r", "@y:here 4", pdu, "away", "here")
		put("", "", edu, "away")
		put("!r", "@x:away 5", pdu, "away", "here")
		put("", "", edu, "here")
		put("!s", "6", pdu, "away", "late")
		through := put("!r", "7", pdu, "away", "here")
		last := put("!r", "8", pdu, "away", "here")
		work := persistence.Compaction{
			After: after, Through: through, Behind: map[ident.ServerName]persistence.Position{"away": 0, "late": through},
		}
		do(func(tx Backlog) error {
			oldest, err := tx.OldestOf(10)
			if oldest != first {
				t.Errorf("the oldest of ten is at %d, want %d", oldest, first)
			}
			return err
		})
		compact := func(work persistence.Compaction) (dropped int) {
			for more := true; more; {
				do(func(tx Backlog) error {
					done, err := tx.CompactOutbound(work, portion)
					work.After, more, dropped = done.Through, done.More, dropped+done.Dropped
					return err
				})
			}
			return dropped
		}
		when := fmt.Sprintf("portions of %d", portion)
		compact(work)
		expect(when, "away", "", "!r@x:away 5!", "!s6!", "!r7!", "!r8")
		expect(when, "here", "!r7!", "!r8")
		work.Drop, work.Behind = 2000, map[ident.ServerName]persistence.Position{"away": 0}
		if dropped := compact(work); dropped != 1 {
			t.Errorf("%s: %d EDUs dropped, want 1", when, dropped)
		}
		work.Behind["away"] = through
		compact(work)
		expect(when, "away", "!r8")
		work.Through, work.Behind = last, nil
		compact(work)
		expect(when, "away")
		after = last
	}
}

// RunPresents holds the presents of rooms to their contract: the events that are one are in the log for their server alone, in order and
// beyond what was there, until they are forgotten, which nothing else is with them; compaction leaves them alone. That the server needs
// nothing more of the room counts until it has had all that there was then.
func RunPresents(t *testing.T, do func(job func(Presents) error)) {
	t.Helper()
	var last persistence.Position
	var other persistence.Outbound
	do(func(tx Presents) (err error) {
		other, err = tx.Enqueue(persistence.Outbound{Kind: persistence.KindPDU, RoomID: "!r", EventID: "$0", Content: []byte("0")}, []ident.ServerName{"b.example"})
		last = other.Position
		if err == nil {
			err = tx.QueuePresent("b.example", "!r", []persistence.Outbound{{EventID: "$1", Content: []byte("1")}, {EventID: "$2", Content: []byte("2")}}, 1000)
		}
		return err
	})
	expect := func(server ident.ServerName, limit int, want ...ident.EventID) (positions []persistence.Position) {
		do(func(tx Presents) error {
			events, err := tx.Present(server, limit)
			var got []ident.EventID
			for _, e := range events {
				got, positions = append(got, e.EventID), append(positions, e.Position)
				if e.Kind != persistence.KindPDU || e.RoomID != "!r" || e.Position <= last || "$"+string(e.Content) != string(e.EventID) {
					t.Errorf("of the present of !r is %+v", e)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("the present for %s is %q, want %q", server, got, want)
			}
			return err
		})
		return positions
	}
	expect("c.example", 10)
	expect("b.example", 1, "$1")
	do(func(tx Presents) error {
		_, err := tx.CompactOutbound(persistence.Compaction{
			After: last, Before: 2000, Behind: map[ident.ServerName]persistence.Position{"b.example": 0},
		}, 100)
		return err
	})
	positions := expect("b.example", 10, "$1", "$2")
	do(func(tx Presents) error { return tx.ForgetPresent(positions[0], other.Position) })
	expect("b.example", 10, "$2")
	do(func(tx Presents) error {
		_, found, err := tx.OutboundItem(other.Position)
		if !found {
			t.Error("what is of no present is forgotten too")
		}
		return err
	})
	for _, tt := range []struct {
		server     ident.ServerName
		from, want persistence.Position
	}{{"b.example", 0, last}, {"c.example", 0, 0}, {"b.example", last - 1, last}, {"b.example", last, 0}, {"b.example", 0, 0}} {
		do(func(tx Presents) error {
			rooms, err := tx.Covered(tt.server, tt.from)
			if got := rooms["!r"]; got != tt.want {
				t.Errorf("%s from %d: covered up to %d, want %d", tt.server, tt.from, got, tt.want)
			}
			return err
		})
	}
}
