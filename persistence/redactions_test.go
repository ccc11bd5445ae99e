// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
)

// A redaction is found by its target until it takes effect, and kept after; the target then has the text that is left and says
// by which it was redacted first.
func TestRedactions(t *testing.T) {
	s := newStore(t, Options{})
	var room, other, target, first, second int64
	update(t, s, func(tx *Tx) (err error) {
		for _, r := range []struct {
			id  ident.RoomID
			nid *int64
		}{{"!a:x", &room}, {"!b:x", &other}} {
			if *r.nid, err = tx.PutRoom(Room{ID: r.id, Version: "10", Membership: RoomJoined}); err != nil {
				return err
			}
		}
		for _, e := range []struct {
			id  ident.EventID
			nid *int64
		}{{"$target", &target}, {"$first", &first}, {"$second", &second}} {
			if *e.nid, _, err = tx.AddEvent(Event{RoomNID: room, ID: e.id, Outcome: OutcomeAccepted, JSON: []byte(`{"whole":1}`)}); err != nil {
				return err
			}
		}
		for _, nid := range []int64{first, second} {
			if err := tx.PutRedaction(room, "$target", nid, true); err != nil {
				return err
			}
		}
		return tx.PutRedaction(room, "$absent", second, true)
	})
	held := func(by ident.EventID) Redaction { return Redaction{Target: "$target", Redaction: by} }
	wantHeld := func(room int64, want ...Redaction) {
		t.Helper()
		err := s.View(context.Background(), func(tx *Tx) error {
			got, err := tx.HeldRedactions(room, []ident.EventID{"$other", "$target"})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("held in room %d: %s", room, diff)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	wantHeld(room, held("$first"), held("$second"))
	wantHeld(other)
	for _, step := range []struct {
		nid  int64
		json string
	}{{first, `{"left":1}`}, {second, `{"left":2}`}} {
		update(t, s, func(tx *Tx) error {
			if err := tx.PutRedaction(room, "$target", step.nid, false); err != nil {
				return err
			}
			if err := tx.PutRedaction(room, "$target", step.nid, true); err != nil { // it has taken effect
				return err
			}
			return tx.RedactEvent(target, step.nid, []byte(step.json))
		})
	}
	wantHeld(room)
	err := s.View(context.Background(), func(tx *Tx) error {
		e, _, err := tx.Event("$target")
		if string(e.JSON) != `{"left":1}` || e.RedactedBy != "$first" || err != nil {
			t.Errorf("the target is %s, redacted by %q, %v", e.JSON, e.RedactedBy, err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What is redacted while it waits to be sent goes out stripped (P-62).
func TestRedactedWhileQueued(t *testing.T) {
	s := newStore(t, Options{})
	var got []string
	update(t, s, func(tx *Tx) error {
		room, err := tx.PutRoom(Room{ID: "!a:x", Version: "10", Membership: RoomJoined})
		if err != nil {
			return err
		}
		nids := map[ident.EventID]int64{}
		for _, id := range []ident.EventID{"$target", "$other", "$redaction"} {
			text := []byte(`{"whole":1}`)
			if nids[id], _, err = tx.AddEvent(Event{RoomNID: room, ID: id, Outcome: OutcomeAccepted, JSON: text}); err != nil {
				return err
			}
			if _, err := tx.Enqueue(Outbound{Kind: KindPDU, EventID: id, Content: text}, []ident.ServerName{"b"}); err != nil {
				return err
			}
		}
		if _, err := tx.Enqueue(Outbound{Kind: KindEDU, Content: []byte(`{"edu":1}`)}, []ident.ServerName{"b"}); err != nil {
			return err
		}
		if err := tx.RedactEvent(nids["$target"], nids["$redaction"], []byte(`{"left":1}`)); err != nil {
			return err
		}
		_, _, err = tx.NextOutbound("b", 0, 10, func(item Outbound) bool {
			got = append(got, string(item.Content))
			return true
		})
		return err
	})
	if diff := cmp.Diff([]string{`{"left":1}`, `{"whole":1}`, `{"whole":1}`, `{"edu":1}`}, got); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
}
