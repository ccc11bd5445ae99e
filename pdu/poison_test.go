// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
)

// A staged event that cannot be judged, because what is stored contradicts itself, is in nobody's way: the others of its room are
// judged, also those staged later, and the failure is seen at growing intervals.
func TestEventThatCannotBeJudged(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.start("a.example")
		room := a.createPublic("10", alice)
		auth := a.authFor(room, createSlot, levelsSlot, memberOf(alice))
		old := a.send(room, text(alice, "old"))
		top := a.send(room, text(alice, "top"))
		side := build(t, room, text(alice, "side"), []*event.Event{old}, auth)
		a.receive("a.example", side.JSON())
		merge := build(t, room, text(alice, "merge"), []*event.Event{side, top}, auth)
		a.receive("a.example", merge.JSON())
		a.wantOutcome(merge, pdu.Accepted, "", "")

		err := a.store.Update(t.Context(), func(tx *persistence.Tx) error {
			row, _, err := tx.Event(side.ID())
			if err != nil {
				return err
			}
			row.After = make([]byte, len(row.Before))
			row.After[0] = 1 // the root of no state
			return tx.SettleEvent(row)
		})
		if err != nil {
			t.Fatal(err)
		}
		n.failing = true
		a.restart()
		poison := build(t, room, text(alice, "poison"), []*event.Event{side}, auth)
		good := build(t, room, text(alice, "good"), []*event.Event{merge}, auth)
		a.receive("a.example", poison.JSON(), good.JSON())
		a.wantOutcome(good, pdu.Accepted, "", "")
		later := build(t, room, text(alice, "later"), []*event.Event{good}, auth)
		a.receive("a.example", later.JSON())
		a.wantOutcome(later, pdu.Accepted, "", "")
		a.wantOutcome(poison, pdu.Staged, "", "")

		failures := func() (count int) {
			n.mu.Lock()
			defer n.mu.Unlock()
			for _, e := range a.traced {
				if _, ok := e.(trace.PDURoomFailed); ok {
					count++
				}
			}
			return count
		}
		before := failures()
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		if more := failures() - before; more < 20 || more > 40 { // 10 s doubled up to an hour
			t.Errorf("%d more failures in a day, want some 31", more)
		}
	})
}
