// SPDX-License-Identifier: Apache-2.0

package pdu

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/policy"
	"github.com/strata-matrix/strata/pdu/resolve"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

// A state reset is a resolution after which the room has older state again, though nobody has changed it back. The algorithms
// before v2.1 can be led to it, so each resolution that changes the current state is watched.
//
//	a slot's new event ── was placed in this turn? ──yes──► a change
//	        │ no, or there is none
//	        ├── it is no shallower than the old one? ─yes─► two concurrent events, of which the other counts now
//	        ├── the old one's sender was banned or kicked, or power levels or join rules were set, in this turn? ──► taken back
//	        └── else ──────────────────────────────────────► gone back, without a cause
//
// A slot of those on which the room's safety rests rings alone, any others from alarmSlots on.

// Alarm is the record of a resolution that changed more than it should.
type Alarm struct {
	NID         int64 // its number, for paging
	Room        ident.RoomID
	At          int64 // ms
	Severe      bool  // power, access, encryption or users of this server are concerned
	Slots       []SlotChange
	Changed     int             // slots that went back, should they be more than are listed
	Extremities []ident.EventID // whose states were resolved
	Trace       resolve.Trace   // of the resolution, its lists cut to maxAlarmTrace
}

// SlotChange is a slot that went back.
type SlotChange struct {
	Slot   event.StateKey
	Before ident.EventID
	After  ident.EventID // "" when the slot is empty now
	Vital  bool          // it is one that rings alone
	Taken  bool          // who had set it has lost the power to do so at the same time
}

// change is a slot of the current state before and after a resolution, as what rings is told by.
type change struct {
	slot          event.StateKey
	before, after *event.Event // after is nil when the slot is empty now
	placed        bool         // after was judged in this turn
}

// wentBack is the slots that went back, the vital ones first, and whether that is an alarm. self is the server whose users count.
func wentBack(changes []change, self ident.ServerName) (slots []SlotChange, rings, severe bool) {
	deprived := deprivedBy(changes)
	causeless := 0
	for _, c := range changes {
		if c.before == nil || c.placed || c.after != nil && c.after.Depth() >= c.before.Depth() {
			continue
		}
		s := SlotChange{Slot: c.slot, Before: c.before.ID(), Vital: isVital(c, self), Taken: deprived(c.before)}
		if c.after != nil {
			s.After = c.after.ID()
		}
		slots = append(slots, s)
		if !s.Taken {
			causeless++
		}
		severe = severe || s.Vital && (!s.Taken || c.slot == createSlot || c.slot == encryptionSlot)
	}
	slices.SortFunc(slots, func(a, b SlotChange) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Slot.Type, b.Slot.Type), cmp.Compare(a.Slot.Key, b.Slot.Key))
	})
	return slots, severe || causeless >= alarmSlots || len(slots) >= alarmSlotsTaken, severe
}

func rank(s SlotChange) int {
	if s.Vital {
		return 0
	}
	return 1
}

var encryptionSlot = event.StateKey{Type: "m.room.encryption"}

// vitalSlots are those on which the safety of a room rests.
var vitalSlots = []event.StateKey{
	createSlot, {Type: "m.room.power_levels"}, {Type: "m.room.join_rules"}, {Type: "m.room.server_acl"}, encryptionSlot, policy.Slot,
}

// isVital says whether a slot rings alone: one of vitalSlots, or a user of ours who was joined and is not any more.
func isVital(c change, self ident.ServerName) bool {
	if c.slot.Type == memberType && ident.UserID(c.slot.Key).Server() == self {
		was, _ := c.before.Membership()
		return was.Membership == "join" && (c.after == nil || !isJoin(c.after))
	}
	return slices.Contains(vitalSlots, c.slot)
}

func isJoin(e *event.Event) bool {
	member, ok := e.Membership()
	return ok && member.Membership == "join"
}

// deprivedBy gives whose events may have been taken back: everybody's where power levels or join rules were set in the turn, else
// those of users who were banned or kicked in it.
func deprivedBy(changes []change) func(*event.Event) bool {
	gone := map[ident.UserID]bool{}
	all := false
	for _, c := range changes {
		if !c.placed {
			continue
		}
		all = all || c.slot.Type == "m.room.power_levels" || c.slot.Type == "m.room.join_rules"
		if c.slot.Type == memberType && !isJoin(c.after) {
			gone[ident.UserID(c.slot.Key)] = true
		}
	}
	return func(e *event.Event) bool { return all || gone[e.Sender()] }
}

// watch looks at what a resolution has made of the current state, which was before.
func (b *batch) watch(before state.Root) error {
	if b.unwatched || b.head.membership != Joined {
		return nil
	}
	differences, err := state.Diff(b, before, b.head.current)
	if err != nil {
		return err
	}
	changes := make([]change, 0, len(differences))
	for _, d := range differences {
		c := change{slot: d.Key}
		if c.before, err = b.eventOf(d.A); err != nil {
			return err
		}
		if c.after, err = b.eventOf(d.B); err != nil {
			return err
		}
		_, c.placed = b.settled[d.B]
		changes = append(changes, c)
	}
	slots, rings, severe := wentBack(changes, b.e.self)
	if !rings || b.alarm != nil && (b.alarm.Severe || !severe) {
		return nil
	}
	a := &Alarm{Room: b.id, At: b.now.UnixMilli(), Severe: severe, Changed: len(slots), Slots: slots[:min(len(slots), maxAlarmSlots)]}
	for _, x := range b.head.extremities {
		a.Extremities = append(a.Extremities, x.record.event.ID())
	}
	if roots := distinct(statesAfter(b.head.extremities)); len(roots) > 1 {
		resolution, _, err := b.resolution(roots)
		if err != nil {
			return fmt.Errorf("trace resolution: %w", err)
		}
		a.Trace = cutTrace(resolution.Trace)
	}
	b.alarm = a
	return nil
}

func (b *batch) eventOf(id ident.EventID) (*event.Event, error) {
	if id == "" {
		return nil, nil
	}
	r, err := b.stored(id)
	if err != nil {
		return nil, err
	}
	return r.event, nil
}

func cutTrace(t resolve.Trace) resolve.Trace {
	t.Conflicted = t.Conflicted[:min(len(t.Conflicted), maxAlarmTrace)]
	for _, list := range []*[]ident.EventID{&t.AuthDifference, &t.Subgraph, &t.PowerOrder, &t.Mainline, &t.MainlineOrder} {
		*list = (*list)[:min(len(*list), maxAlarmTrace)]
	}
	t.Checks = t.Checks[:min(len(t.Checks), maxAlarmTrace)]
	return t
}

func (b *batch) writeAlarm(tx *persistence.Tx) error {
	if b.alarm == nil {
		return nil
	}
	detail, err := json.Marshal(b.alarm)
	if err != nil {
		return fmt.Errorf("encode alarm: %w", err)
	}
	return tx.AddAlarm(persistence.Alarm{RoomNID: b.head.nid, At: b.alarm.At, Severe: b.alarm.Severe, Detail: detail})
}

// event is the alarm as traces show it.
func (a *Alarm) event() trace.PDUStateAlarm {
	const examples = 5
	t := trace.PDUStateAlarm{Room: string(a.Room), Severe: a.Severe, Slots: a.Changed, Extremities: len(a.Extremities)}
	for _, s := range a.Slots[:min(len(a.Slots), examples)] {
		t.Examples = append(t.Examples, s.Slot.Type+" "+s.Slot.Key)
	}
	return t
}

// Alarms lists up to limit alarms, newest first, those before a number when it is not 0; those of one room when that is not "".
func (e *Engine) Alarms(ctx context.Context, room ident.RoomID, before int64, limit int) ([]Alarm, error) {
	var rows []persistence.Alarm
	err := e.store.View(ctx, func(tx *persistence.Tx) (err error) {
		rows, err = tx.Alarms(room, before, limit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list alarms: %w", err)
	}
	list := make([]Alarm, 0, len(rows))
	for _, row := range rows {
		a, err := AlarmOf(row)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

// AlarmOf reads a stored alarm.
func AlarmOf(row persistence.Alarm) (Alarm, error) {
	var a Alarm
	if err := json.Unmarshal(row.Detail, &a); err != nil {
		return Alarm{}, fmt.Errorf("%w: alarm %d: %w", persistence.ErrCorrupt, row.NID, err)
	}
	a.NID, a.Room, a.At, a.Severe = row.NID, row.Room, row.At, row.Severe
	return a, nil
}
