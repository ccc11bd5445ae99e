// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"testing"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
)

// In room versions 1 and 2 the rules look at what a redaction names (P-57). One that is redacted itself does not say any more: when it
// is judged again, it is not refused for that.
func TestRedactedRedactionJudgedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, room := n.shared("1")
		byBob := b.send(room, text(bob, "x"))
		n.deliver()
		auth := b.authFor(room, createSlot, levelsSlot, memberOf(bob))
		a.send(room, member(alice, bob, "ban"))
		late := build(t, room, redactionOf("1", bob, byBob.ID()), []*event.Event{byBob}, auth)
		a.receive("b.example", late.JSON())
		a.wantOutcome(late, pdu.SoftFailed, "P-29", "")
		by := a.send(room, redactionOf("1", alice, late.ID()))
		a.wantRedacted(late, by.ID())
		a.send(room, member(alice, bob, "leave"))
		n.hold()
		rejoin := build(t, room, member(bob, bob, "join"), []*event.Event{a.stateEvent(room, memberOf(bob))},
			a.authFor(room, createSlot, levelsSlot, memberOf(bob), rulesSlot))
		a.receive("b.example", rejoin.JSON())
		a.wantOutcome(rejoin, pdu.Accepted, "", "")
		if v, err := a.engine.JudgeAgain(t.Context(), late.ID()); err != nil || v.Outcome != pdu.Accepted {
			t.Errorf("judged again: %+v, %v, want accepted", v, err)
		}
		a.wantRedacted(byBob, "") // what it named is gone
	})
}
