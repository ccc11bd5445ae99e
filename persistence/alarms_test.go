// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
)

// Alarms are listed newest first, by pages and by room, and those of a room are bounded.
func TestAlarms(t *testing.T) {
	store := newStore(t, Options{})
	rooms := map[ident.RoomID]int64{"!a": 0, "!b": 0}
	do := func(job func(tx *Tx) error) {
		t.Helper()
		if err := store.Update(t.Context(), job); err != nil {
			t.Fatal(err)
		}
	}
	do(func(tx *Tx) (err error) {
		for _, id := range []ident.RoomID{"!a", "!b"} {
			if rooms[id], err = tx.PutRoom(Room{ID: id, Version: "11", Membership: RoomJoined}); err != nil {
				return err
			}
		}
		if err := tx.AddAlarm(Alarm{RoomNID: rooms["!b"], At: 1, Severe: true, Detail: []byte("b")}); err != nil {
			return err
		}
		for i := range 150 {
			a := Alarm{RoomNID: rooms["!a"], At: int64(i), Detail: fmt.Append(nil, i)}
			if err := tx.AddAlarm(a); err != nil {
				return err
			}
		}
		return nil
	})
	do(func(tx *Tx) error {
		ofA, err := tx.Alarms("!a", 0, 1000)
		if err != nil || len(ofA) != 100 {
			t.Errorf("%d alarms of a room, %v, want the newest 100", len(ofA), err)
		}
		all, err := tx.Alarms("", 0, 2)
		if err != nil || len(all) != 2 || string(all[0].Detail) != "149" || string(all[1].Detail) != "148" {
			t.Errorf("newest: %+v, %v", all, err)
		}
		more, err := tx.Alarms("", all[1].NID, 1)
		if err != nil || len(more) != 1 || string(more[0].Detail) != "147" {
			t.Errorf("before: %+v, %v", more, err)
		}
		ofB, err := tx.Alarms("!b", 0, 10)
		want := []Alarm{{NID: 1, RoomNID: rooms["!b"], Room: "!b", At: 1, Severe: true, Detail: []byte("b")}}
		if diff := cmp.Diff(want, ofB); err != nil || diff != "" {
			t.Errorf("of the other room: %v %s", err, diff)
		}
		none, err := tx.Alarms("!c", 0, 10)
		if err != nil || len(none) != 0 {
			t.Errorf("of an unknown room: %+v, %v", none, err)
		}
		return nil
	})
}
