// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"fmt"
	"slices"
	"testing"

	"github.com/strata-matrix/strata/transport/ident"
)

// hashID is an id in the form of room versions 4 and up.
func hashID(n int) ident.EventID {
	hash := numbered("event", n)
	return ident.EventID("$" + idEncoding.EncodeToString(hash[:]))
}

func TestEventsAreFoundTogether(t *testing.T) {
	s := newStore(t, Options{})
	update(t, s, func(tx *Tx) error {
		room, err := tx.PutRoom(Room{ID: "!r:a.example", Version: "10"})
		if err != nil {
			return err
		}
		var asked, want, got []ident.EventID
		for n := range 100 {
			id := hashID(n)
			if n%3 == 0 {
				id = ident.EventID(fmt.Sprintf("$%d:a.example", n))
			}
			if asked = append(asked, id); n%2 == 0 {
				continue
			}
			want = append(want, id)
			if _, _, err := tx.AddEvent(Event{RoomNID: room, ID: id, JSON: []byte(`{}`)}); err != nil {
				return err
			}
		}
		list, err := tx.Events(asked)
		for _, e := range list {
			got = append(got, e.ID)
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("Events gave %v, want %v", got, want)
		}
		return err
	})
}

// An event that is stored stays as it is, and a number that was given out names the row that got it.
func TestAddEventTwice(t *testing.T) {
	s := newStore(t, Options{})
	update(t, s, func(tx *Tx) error {
		room, err := tx.PutRoom(Room{ID: "!r:a.example", Version: "10"})
		if err != nil {
			return err
		}
		first, added, err := tx.AddEvent(Event{RoomNID: room, ID: hashID(1), JSON: []byte(`1`)})
		if err != nil || !added {
			t.Errorf("AddEvent: added %t, %v", added, err)
		}
		if _, _, err := tx.AddEvent(Event{RoomNID: room, ID: hashID(2), JSON: []byte(`2`)}); err != nil {
			return err
		}
		again, added, err := tx.AddEvent(Event{RoomNID: room, ID: hashID(1), JSON: []byte(`3`)})
		if err != nil || added || again != first {
			t.Errorf("AddEvent again: %d, added %t, %v; want %d, not added", again, added, err, first)
		}
		e, found, err := tx.EventByNID(first)
		if !found || e.ID != hashID(1) || string(e.JSON) != "1" {
			t.Errorf("event %d: %t, %s, %s", first, found, e.ID, e.JSON)
		}
		return err
	})
}

// More citations than a statement takes, and none.
func TestCite(t *testing.T) {
	s := newStore(t, Options{})
	update(t, s, func(tx *Tx) error {
		var auth []int64
		for n := range int64(25) {
			auth = append(auth, n+1)
		}
		if err := tx.Cite(99, auth); err != nil {
			return err
		}
		if err := tx.Cite(99, auth[:3]); err != nil {
			return err
		}
		if err := tx.Cite(98, nil); err != nil {
			return err
		}
		var rows, least, most int64
		_, err := tx.queryRow(`SELECT count(*), min(auth), max(auth) FROM citations WHERE event = 99`, nil, &rows, &least, &most)
		if rows != 25 || least != 1 || most != 25 {
			t.Errorf("%d citations of %d to %d, want 25 of 1 to 25", rows, least, most)
		}
		return err
	})
}
