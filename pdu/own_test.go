// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"errors"
	"testing"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
)

// P-36: levels that are no integers are not issued, not even where the room version understands them.
func TestLevelsAreIssuedAsIntegers(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.start("a.example")
		room := a.createPublic("9", alice)
		for _, levels := range []string{
			`{"users":{"@alice:a.example":100},"ban":"50"}`,
			`{"users":{"@alice:a.example":100},"notifications":{"room":"50"}}`,
		} {
			_, err := a.engine.Send(t.Context(), room, stateDraft(alice, "m.room.power_levels", levels))
			var refused *pdu.NotAllowed
			if !errors.As(err, &refused) || refused.Verdict.Decisive().Rule != "P-36" {
				t.Errorf("%s: %v, want a refusal by P-36", levels, err)
			}
		}
	})
}

// What a draft brings along is kept if and only if its event is: it is asked for once, with the event, in a job that sees the event, and
// when it cannot be kept there is no event.
func TestKeptWithTheEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.start("a.example")
		room := a.createPublic("12", alice)
		var kept []string
		d := stateDraft(alice, "org.example", `{}`)
		d.Kept = func(tx *persistence.Tx, e *event.Event) error {
			_, stored, err := tx.Event(e.ID())
			if !stored {
				t.Error("the event is not stored in the job")
			}
			kept = append(kept, string(e.ID()))
			return err
		}
		sent, err := a.engine.Send(t.Context(), room, d)
		if err != nil || len(kept) != 1 || kept[0] != string(sent.ID()) {
			t.Fatalf("kept %v, %v, want the event that was sent, once", kept, err)
		}
		full := errors.New("full")
		d.Kept = func(*persistence.Tx, *event.Event) error { return full }
		if _, err := a.engine.Send(t.Context(), room, d); !errors.Is(err, full) {
			t.Errorf("%v, want the error of what was to be kept", err)
		}
		now, err := a.engine.StateEvent(t.Context(), room, event.StateKey{Type: "org.example"})
		if err != nil || now.ID() != sent.ID() {
			t.Errorf("the state is %v, %v, want the event before the one that was not kept", now.ID(), err)
		}
		d.Kept = func(*persistence.Tx, *event.Event) error { t.Error("kept for a refused event"); return nil }
		d.Sender = "@nobody:a.example"
		if _, err := a.engine.Send(t.Context(), room, d); err == nil {
			t.Error("an event of nobody was accepted")
		}
	})
}
