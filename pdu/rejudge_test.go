// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
)

// On trial an event is judged by what is known now, and nothing changes by it: not its record, not the extremities, not what is
// delivered.
func TestRejudgeStoresNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, room, refused := softFailed(t, n)
		trial := func(want pdu.Outcome) {
			t.Helper()
			delivered, extremities := a.delivered(), a.extremities(room)
			before, _, err := a.engine.Verdict(t.Context(), refused.ID())
			if err != nil {
				t.Fatal(err)
			}
			if v, err := a.engine.Rejudge(t.Context(), refused.ID()); err != nil || v.Outcome != want {
				t.Errorf("on trial: %v, %v, want %v", v.Outcome, err, want)
			}
			after, _, err := a.engine.Verdict(t.Context(), refused.ID())
			if diff := cmp.Diff(before, after); diff != "" || err != nil {
				t.Errorf("the record has changed: %v %s", err, diff)
			}
			if diff := cmp.Diff(delivered, a.delivered()) + cmp.Diff(extremities, a.extremities(room)); diff != "" {
				t.Errorf("the room has changed: %s", diff)
			}
		}
		trial(pdu.SoftFailed) // bob has left
		join, err := n.servers["b.example"].handOver(room, member(bob, bob, "join"), a)
		if err != nil {
			t.Fatal(err)
		}
		h := pdu.Handover{Room: room, EventID: join.ID(), Membership: "join"}
		if _, err := a.engine.AcceptMembership(t.Context(), "b.example", h, join.JSON()); err != nil {
			t.Fatal(err)
		}
		trial(pdu.Accepted)
		if v, err := a.engine.Rejudge(t.Context(), join.ID()); err != nil || v.Outcome != pdu.Accepted {
			t.Errorf("what was accepted: %v, %v", v.Outcome, err)
		}
		if _, err := a.engine.Rejudge(t.Context(), "$unknown"); !errors.Is(err, pdu.ErrUnknownEvent) {
			t.Errorf("an unknown event: %v, want ErrUnknownEvent", err)
		}
	})
}
