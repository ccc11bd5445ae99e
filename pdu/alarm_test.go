// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport/ident"
)

func (s *server) alarms() []pdu.Alarm {
	s.net.t.Helper()
	list, err := s.engine.Alarms(s.net.t.Context(), "", 0, 100)
	if err != nil {
		s.net.t.Fatal(err)
	}
	return list
}

// A state reset as MSC4297 tells it: alice makes bob an admin, bob changes the power levels. A late event of hers on the state
// from before rests on the levels in between, so that these are in both auth chains, and in no difference of them: v2 tries bob's
// levels without knowing where he had his power from, and refuses them. v2.1 takes what lies between conflicting events
// into account.
func TestStateResetRings(t *testing.T) {
	for version, resets := range map[string]bool{"10": true, "11": true, "12": false} {
		t.Run(version, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				a, b := n.start("a.example"), n.start("b.example")
				room := a.createPublic(version, alice)
				b.join(room, bob, a)
				n.deliver()
				old := a.send(room, text(alice, "before"))
				first := a.stateEvent(room, levelsSlot)
				users := `"@alice:a.example":100,`
				if version == "12" {
					users = ""
				}
				between := a.send(room, stateDraft(alice, "m.room.power_levels", fmt.Sprintf(`{"users":{%s"@bob:b.example":100}}`, users)))
				n.deliver()
				time.Sleep(time.Second) // of two equally powerful events the older is tried first
				last := b.send(room, stateDraft(bob, "m.room.power_levels", fmt.Sprintf(`{"users":{%s"@bob:b.example":100},"ban":60}`, users)))
				n.deliver()
				if got := a.alarms(); len(got) != 0 {
					t.Fatalf("rang before anything was reset: %+v", got)
				}

				auth := []*event.Event{between, a.stateEvent(room, memberOf(alice))}
				if version != "12" {
					auth = append(auth, a.stateEvent(room, createSlot))
				}
				stale := build(t, room, stateDraft(alice, "m.room.topic", `{"topic":"stale"}`), []*event.Event{old}, auth)
				a.receive("a.example", stale.JSON())
				a.wantOutcome(stale, pdu.Accepted, "", "")

				if !resets {
					if got := a.stateEvent(room, levelsSlot).ID(); got != last.ID() {
						t.Errorf("v2.1: the power levels are %s, want bob's", got)
					}
					if got := a.alarms(); len(got) != 0 {
						t.Errorf("rang without a reset: %+v", got)
					}
					return
				}
				if got := a.stateEvent(room, levelsSlot).ID(); got != first.ID() {
					t.Fatalf("the power levels are %s: this was to be a state reset", got)
				}
				a.restart() // the record is durable
				alarms := a.alarms()
				if len(alarms) != 1 {
					t.Fatalf("%d alarms, want 1", len(alarms))
				}
				got := alarms[0]
				want := []pdu.SlotChange{{Slot: levelsSlot, Before: last.ID(), After: first.ID(), Vital: true}}
				if diff := cmp.Diff(want, got.Slots); diff != "" || !got.Severe || got.Room != room {
					t.Errorf("alarm %+v: %s", got, diff)
				}
				if heads := []ident.EventID{last.ID(), stale.ID()}; !sameIDs(heads, got.Extremities) {
					t.Errorf("extremities %v, want %v", got.Extremities, heads)
				}
				if !slices.Contains(got.Trace.Conflicted, levelsSlot) || !slices.Contains(got.Trace.PowerOrder, last.ID()) {
					t.Errorf("trace %+v", got.Trace)
				}
				refused := false
				for _, check := range got.Trace.Checks {
					refused = refused || check.Event == last.ID() && !check.Result.OK && check.Result.Rule != ""
				}
				if !refused {
					t.Errorf("the trace does not show why bob's levels were refused: %+v", got.Trace.Checks)
				}
				a.net.mu.Lock()
				defer a.net.mu.Unlock()
				rang := slices.ContainsFunc(a.traced, func(e trace.Event) bool {
					alarm, ok := e.(trace.PDUStateAlarm)
					return ok && alarm.Severe && alarm.Slots == 1
				})
				if !rang {
					t.Error("no trace event")
				}
			})
		})
	}
}

func sameIDs(a, b []ident.EventID) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// Ordinary merges do not ring: the same topic set on both sides, joins on both sides, a ban that takes back what its target
// did at the same time, and leaving.
func TestOrdinaryMergesDoNotRing(t *testing.T) {
	for _, version := range []string{"1", "10", "12"} {
		t.Run(version, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				a, b := n.start("a.example"), n.start("b.example")
				room := a.createPublic(version, alice)
				b.join(room, bob, a)
				n.deliver()
				levels := `{"users":{"@alice:a.example":100,"@bob:b.example":50}}`
				if version == "12" {
					levels = `{"users":{"@bob:b.example":50}}`
				}
				a.send(room, stateDraft(alice, "m.room.power_levels", levels))
				n.deliver()
				for i := range 4 {
					a.send(room, stateDraft(alice, "m.room.topic", fmt.Sprintf(`{"topic":"a%d"}`, i)))
					b.send(room, stateDraft(bob, "m.room.topic", fmt.Sprintf(`{"topic":"b%d"}`, i)))
					a.send(room, member(ident.UserID(fmt.Sprintf("@a%d:a.example", i)), ident.UserID(fmt.Sprintf("@a%d:a.example", i)), "join"))
					b.send(room, member(ident.UserID(fmt.Sprintf("@b%d:b.example", i)), ident.UserID(fmt.Sprintf("@b%d:b.example", i)), "join"))
					n.deliver()
					a.send(room, text(alice, "merge"))
					n.deliver()
				}
				if diff := cmp.Diff(a.state(room), b.state(room)); diff != "" {
					t.Errorf("states differ: %s", diff)
				}
				b.send(room, member("@b0:b.example", "@b0:b.example", "leave"))
				a.send(room, stateDraft(alice, "m.room.name", `{"name":"a"}`))
				n.deliver()
				b.send(room, stateDraft(bob, "m.room.topic", `{"topic":"last"}`))
				b.send(room, stateDraft(bob, "m.room.avatar", `{"url":"x"}`))
				a.send(room, member(alice, bob, "ban"))
				n.deliver()
				a.send(room, text(alice, "merge"))
				n.deliver()
				for _, s := range []*server{a, b} {
					if got := s.alarms(); len(got) != 0 {
						t.Errorf("%s rang: %+v", s.name, got[0].Slots)
					}
				}
			})
		})
	}
}
