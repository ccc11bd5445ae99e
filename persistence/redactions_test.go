// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/transport/ident"
)

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
