// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/resolve"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

func TestAlarms(t *testing.T) {
	b := newBench(t)
	b.putRoom()
	topic := event.StateKey{Type: "m.room.topic"}
	detail, err := json.Marshal(pdu.Alarm{
		Changed: 1, Extremities: []ident.EventID{"$x", "$y"}, Slots: []pdu.SlotChange{{Slot: topic, Before: "$new", After: "$old"}},
		Trace: resolve.Trace{
			Conflicted: []event.StateKey{topic}, PowerOrder: []ident.EventID{"$p"},
			Checks: []resolve.Check{{Event: "$new", Key: topic, Result: auth.Result{Rule: "P-51", Detail: "not joined"}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.update(func(tx *persistence.Tx) error {
		return tx.AddAlarm(persistence.Alarm{RoomNID: b.room.NID, At: 99, Severe: true, Detail: detail})
	})
	want := []Alarm{{
		Number: 1, RoomID: string(b.room.ID), At: 99, Severe: true, Changed: 1, Extremities: []ident.EventID{"$x", "$y"},
		Slots: []SlotChange{{Slot{"m.room.topic", ""}, "$new", "$old"}},
		Trace: ResolutionTrace{
			Conflicted: []Slot{{"m.room.topic", ""}}, PowerOrder: []ident.EventID{"$p"},
			AuthDifference: []ident.EventID{}, Subgraph: []ident.EventID{}, Mainline: []ident.EventID{}, MainlineOrder: []ident.EventID{},
			Checks: []SlotCheck{{"$new", Slot{"m.room.topic", ""}, false, "P-51", "not joined"}},
		},
	}}
	for _, room := range []string{"", string(b.room.ID)} {
		got, err := b.look.Alarms(t.Context(), AlarmQuery{RoomID: room})
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("alarms of %q: %v (-want +got):\n%s", room, err, diff)
		}
	}
	if _, err := b.look.Alarms(t.Context(), AlarmQuery{RoomID: "!other:one.example"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("alarms of an unknown room: %v", err)
	}
}
