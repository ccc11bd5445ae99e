// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"context"
	"fmt"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/resolve"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// AlarmQuery selects alarms.
type AlarmQuery struct {
	RoomID string `json:"room_id,omitempty"` // "" for all rooms
	Before int64  `json:"before,omitempty"`  // only those with smaller numbers, 0 for the newest
	Limit  int    `json:"limit,omitempty"`
}

// Alarm is a resolution that gave older state back: a state reset.
type Alarm struct {
	Number      int64           `json:"n"`
	RoomID      string          `json:"room_id"`
	At          int64           `json:"ts"`
	Severe      bool            `json:"severe"`  // power, access, encryption or users of this server are concerned
	Changed     int             `json:"changed"` // slots that went back; Slots may list fewer
	Slots       []SlotChange    `json:"slots"`
	Extremities []ident.EventID `json:"extremities"` // whose states were resolved
	Trace       ResolutionTrace `json:"trace"`
}

// ResolutionTrace is how a resolution came about: the terms are those of rooms/v2, "State resolution".
type ResolutionTrace struct {
	Conflicted     []Slot          `json:"conflicted"`
	AuthDifference []ident.EventID `json:"auth_difference"`
	Subgraph       []ident.EventID `json:"subgraph"`
	PowerOrder     []ident.EventID `json:"power_order"`
	Mainline       []ident.EventID `json:"mainline"`
	MainlineOrder  []ident.EventID `json:"mainline_order"`
	Checks         []SlotCheck     `json:"checks"`
}

// Slot is a slot of room state.
type Slot struct {
	Type     string `json:"type"`
	StateKey string `json:"state_key"`
}

// SlotCheck is one authorisation check of a resolution.
type SlotCheck struct {
	EventID ident.EventID `json:"event_id"`
	Slot
	OK     bool   `json:"ok"`
	Rule   string `json:"rule,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// SlotChange is a piece of state that went back.
type SlotChange struct {
	Slot
	Before ident.EventID `json:"before"`
	After  ident.EventID `json:"after"` // "" for an empty slot
}

// Alarms lists alarms, the newest first.
func (i *Inspector) Alarms(ctx context.Context, q AlarmQuery) ([]Alarm, error) {
	if q.RoomID != "" {
		if _, err := i.room(ctx, q.RoomID); err != nil {
			return nil, err
		}
	}
	list := []Alarm{}
	err := i.view(ctx, func(tx *persistence.Tx) error {
		rows, err := tx.Alarms(ident.RoomID(q.RoomID), q.Before, clampLimit(q.Limit))
		for _, row := range rows {
			a, err := pdu.AlarmOf(row)
			if err != nil {
				return err
			}
			list = append(list, alarmOf(a))
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list alarms: %w", err)
	}
	return list, nil
}

func alarmOf(a pdu.Alarm) Alarm {
	shown := Alarm{
		Number: a.NID, RoomID: string(a.Room), At: a.At, Severe: a.Severe, Changed: a.Changed, Slots: []SlotChange{},
		Extremities: listed(a.Extremities), Trace: traceOf(a.Trace),
	}
	for _, s := range a.Slots {
		shown.Slots = append(shown.Slots, SlotChange{Slot{s.Slot.Type, s.Slot.Key}, s.Before, s.After})
	}
	return shown
}

func traceOf(t resolve.Trace) ResolutionTrace {
	shown := ResolutionTrace{
		Conflicted: []Slot{}, AuthDifference: listed(t.AuthDifference), Subgraph: listed(t.Subgraph), PowerOrder: listed(t.PowerOrder),
		Mainline: listed(t.Mainline), MainlineOrder: listed(t.MainlineOrder), Checks: []SlotCheck{},
	}
	for _, slot := range t.Conflicted {
		shown.Conflicted = append(shown.Conflicted, Slot{slot.Type, slot.Key})
	}
	for _, c := range t.Checks {
		shown.Checks = append(shown.Checks, SlotCheck{c.Event, Slot{c.Key.Type, c.Key.Key}, c.Result.OK, c.Result.Rule, c.Result.Detail})
	}
	return shown
}

// listed is ids that are a list in JSON even when there are none.
func listed(ids []ident.EventID) []ident.EventID { return append([]ident.EventID{}, ids...) }
