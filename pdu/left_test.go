// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
)

// What waits in a room when it is left stays for a month, in case it is joined again, and is then forgotten, also over a restart.
func TestStagedInARoomThatWasLeft(t *testing.T) {
	for _, restart := range []bool{false, true} {
		inBubble(t, func(t *testing.T, n *network) {
			a, b := n.start("a.example"), n.start("b.example")
			room := b.createPublic("10", bob)
			a.join(room, alice, b)
			n.deliver()
			n.setRefuse(refuseAll)
			b.send(room, text(bob, "missing"))
			waits := b.send(room, text(bob, "waits"))
			n.hold()
			a.receive("b.example", waits.JSON())
			a.send(room, member(alice, alice, "leave"))
			if restart {
				a.restart()
			}
			pass(29 * 24 * time.Hour)
			a.wantOutcome(waits, pdu.Quarantined, "", "")
			pass(2 * 24 * time.Hour)
			err := a.store.View(t.Context(), func(tx *persistence.Tx) error {
				if _, found, err := tx.LastStaged(1); found || err != nil {
					t.Errorf("restart %t: staged %t, %v", restart, found, err)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// A kill between a resident's taking our join and our adopting the room leaves the room as left, and says so; joining again mends it.
func TestJoinCutOff(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		join, err := b.handOver(room, member(bob, bob, "join"), a)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.engine.BeginJoin(t.Context(), room, "10"); err != nil {
			t.Fatal(err)
		}
		h := pdu.Handover{Room: room, EventID: join.ID(), Membership: "join"}
		if _, err := a.engine.AcceptMembership(t.Context(), "b.example", h, join.JSON()); err != nil {
			t.Fatal(err)
		}
		b.restart()
		if info, err := b.engine.Room(t.Context(), room); err != nil || info.Membership != pdu.Left {
			t.Errorf("room %+v, %v; want it left", info, err)
		}
		told := false
		n.mu.Lock()
		for _, e := range b.traced {
			told = told || e == trace.Event(trace.PDUJoinAbandoned{Room: string(room)})
		}
		n.mu.Unlock()
		if !told {
			t.Error("nothing tells of the join that was cut off")
		}
		b.join(room, bob, a)
		n.deliver()
		said := b.send(room, text(bob, "here after all"))
		n.deliver()
		a.wantOutcome(said, pdu.Accepted, "", "")
	})
}
