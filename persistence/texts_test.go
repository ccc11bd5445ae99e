// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
)

// Texts are found for as many ids as are asked for, of both forms, and for none that is not stored.
func TestEventTexts(t *testing.T) {
	s := newStore(t, Options{})
	var want []Event
	var ids []ident.EventID
	update(t, s, func(tx *Tx) error {
		room, err := tx.PutRoom(Room{ID: "!r:a.example", Version: "10"})
		if err != nil {
			return err
		}
		for i := range 3*textsAtOnce + 1 {
			e := Event{RoomNID: room, ID: ident.EventID(fmt.Sprintf("$%d:a.example", i)), JSON: fmt.Appendf(nil, `{"depth":%d}`, i)}
			if i%2 == 0 {
				e.ID = ident.EventID(fmt.Sprintf("$%043d", i*4)) // a hash
			}
			if _, _, err := tx.AddEvent(e); err != nil {
				return err
			}
			want, ids = append(want, Event{ID: e.ID, RoomVersion: "10", JSON: e.JSON}), append(ids, e.ID, "$not:stored")
		}
		return nil
	})
	err := s.View(context.Background(), func(tx *Tx) error {
		got, err := tx.EventTexts(ids)
		byID := func(x, y Event) int { return slices.Compare([]byte(x.ID), []byte(y.ID)) }
		slices.SortFunc(got, byID)
		slices.SortFunc(want, byID)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		none, noErr := tx.EventTexts(nil)
		if len(none) != 0 || noErr != nil {
			t.Errorf("of nothing: %v, %v", none, noErr)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
