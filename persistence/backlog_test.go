// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"fmt"
	"slices"
	"testing"

	"github.com/strata-matrix/strata/transport/ident"
)

// queued lists what the log has for a server, as room, event and whether it stands for the room.
func queued(t *testing.T, s *Store, server ident.ServerName) (list []string) {
	t.Helper()
	update(t, s, func(tx *Tx) error {
		_, _, err := tx.NextOutbound(server, 0, 1000, func(item Outbound) bool {
			text := fmt.Sprint(item.RoomID, item.EventID)
			if item.Compacted {
				text += "!"
			}
			list = append(list, text)
			return true
		})
		return err
	})
	return list
}

// What is behind the boundary is folded by room, but for what concerns a server's own users; EDUs stay; what nobody needs goes. In one
// portion or in many.
func TestCompactOutbound(t *testing.T) {
	for _, portion := range []int{1, 3, 100} {
		s := newStore(t, Options{})
		put := func(room, event string, kind int, servers ...ident.ServerName) (position Position) {
			update(t, s, func(tx *Tx) error {
				item, err := tx.Enqueue(Outbound{
					Kind: kind, RoomID: ident.RoomID(room), EventID: ident.EventID(event), Content: []byte(event), QueuedAt: 1000,
				}, servers)
				position = item.Position
				return err
			})
			return position
		}
		const pdu, edu = KindPDU, KindEDU
		put("!r", "1", pdu, "away", "here")
		put("!s", "2", pdu, "here")
		put("!r", "@x:away 3", pdu, "away", "here")
		put("!r", "@y:here 4", pdu, "away", "here")
		put("", "", edu, "away")
		put("!r", "@x:away 5", pdu, "away", "here")
		put("", "", edu, "here")
		put("!s", "6", pdu, "away", "late")
		through := put("!r", "7", pdu, "away", "here")
		put("!r", "8", pdu, "away", "here")
		work := Compaction{
			Through: through, Behind: map[ident.ServerName]Position{"away": 0, "late": through},
			About: func(pdu []byte) (ident.UserID, bool) {
				return ident.UserID(pdu[:max(0, len(pdu)-2)]), len(pdu) > 2
			},
		}
		for more := true; more; {
			update(t, s, func(tx *Tx) error {
				done, err := tx.CompactOutbound(work, portion)
				work.After, more = done.Through, done.More
				return err
			})
		}
		if got, want := queued(t, s, "away"), []string{"", "!r@x:away 5!", "!s6!", "!r7!", "!r8"}; !slices.Equal(got, want) {
			t.Errorf("portions of %d: away is to get %q, want %q", portion, got, want)
		}
		if got, want := queued(t, s, "here"), []string{"!r7!", "!r8"}; !slices.Equal(got, want) {
			t.Errorf("portions of %d: left for others are %q, want %q", portion, got, want)
		}
		// An EDU that waited too long is given up, and so is what nobody needs any more.
		var done Compacted
		update(t, s, func(tx *Tx) (err error) {
			done, err = tx.CompactOutbound(Compaction{Through: through, Drop: 2000, Behind: map[ident.ServerName]Position{"away": 0}, About: work.About}, 100)
			return err
		})
		if done.Dropped != 1 {
			t.Errorf("%d EDUs dropped, want 1", done.Dropped)
		}
		update(t, s, func(tx *Tx) (err error) {
			_, err = tx.CompactOutbound(Compaction{Through: through, Behind: map[ident.ServerName]Position{"away": through}, About: work.About}, 100)
			return err
		})
		if got, want := queued(t, s, "away"), []string{"!r8"}; !slices.Equal(got, want) {
			t.Errorf("away has all but %q to get, want %q", got, want)
		}
	}
}

func TestCovered(t *testing.T) {
	s := newStore(t, Options{})
	for range 10 {
		enqueue(t, s, "a")
	}
	covered := func(from Position) (rooms map[ident.RoomID]Position) {
		update(t, s, func(tx *Tx) (err error) {
			rooms, err = tx.Covered("a", from)
			return err
		})
		return rooms
	}
	update(t, s, func(tx *Tx) error { return tx.Cover("a", "!r", 5) })
	for _, tt := range []struct {
		from Position
		want Position
	}{{4, 0}, {5, 10}, {9, 10}, {10, 0}, {5, 0}} { // 4: it has not got it; 10: it is over, and forgotten
		if got := covered(tt.from)["!r"]; got != tt.want {
			t.Errorf("from %d the room is covered up to %d, want %d", tt.from, got, tt.want)
		}
	}
}

// A server that has lost what it had gets each room that it shares with us once, not each time that it asks.
func TestRecall(t *testing.T) {
	s := newStore(t, Options{})
	update(t, s, func(tx *Tx) error {
		for i, membership := range []int{RoomJoined, RoomJoined, RoomLeft, RoomJoined} {
			room := Room{ID: ident.RoomID(fmt.Sprint("!r", i)), Version: "10", Membership: membership}
			nid, err := tx.PutRoom(room)
			if err != nil {
				return err
			}
			event, _, err := tx.AddEvent(Event{RoomNID: nid, ID: ident.EventID(fmt.Sprint("$", i)), JSON: []byte(`{}`), Outcome: 1})
			if err != nil {
				return err
			}
			room.NID, room.Extremities = nid, []int64{event}
			if _, err := tx.PutRoom(room); err != nil {
				return err
			}
			if i != 3 {
				err = tx.SetRoomServer(nid, "a", 1)
			}
			if err != nil {
				return err
			}
		}
		return tx.AddDestination("a", 0)
	})
	for range 2 {
		next, more := int64(0), true
		for more {
			update(t, s, func(tx *Tx) (err error) {
				_, next, err = tx.Recall("a", next, 1, 1)
				more = next != 0
				return err
			})
		}
	}
	if got, want := queued(t, s, "a"), []string{"!r0$0!", "!r1$1!"}; !slices.Equal(got, want) {
		t.Errorf("queued %q, want %q", got, want)
	}
}

func TestPullableServers(t *testing.T) {
	s := newStore(t, Options{})
	update(t, s, func(tx *Tx) error {
		for i, servers := range [][]ident.ServerName{{"a", "b"}, {"b", "c"}} {
			nid, err := tx.PutRoom(Room{ID: ident.RoomID(fmt.Sprint("!r", i)), Version: "10", Membership: RoomJoined + i})
			if err != nil {
				return err
			}
			for _, server := range servers {
				if err := tx.SetRoomServer(nid, server, 1); err != nil {
					return err
				}
			}
		}
		if err := tx.SetStock("b", 100); err != nil {
			return err
		}
		for _, tt := range []struct {
			now  int64
			want []ident.ServerName
		}{{99, []ident.ServerName{"a"}}, {100, []ident.ServerName{"a", "b"}}} {
			if got, err := tx.PullableServers(tt.now); err != nil || !slices.Equal(got, tt.want) {
				t.Errorf("at %d: %v (%v), want %v: the room of the last has been left", tt.now, got, err, tt.want)
			}
		}
		return nil
	})
}
