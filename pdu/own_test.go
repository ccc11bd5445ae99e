// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"errors"
	"testing"

	"github.com/strata-matrix/strata/pdu"
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
