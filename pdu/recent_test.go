// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
)

// seen is a delivery as a subscriber sees it.
func seen(d pdu.Delivery) string {
	return fmt.Sprint(d.Position, d.Room, d.Mismatch, d.Restored, d.RedactedBy, string(d.Event.JSON()))
}

// What subscribers are told out of the memory is what they are told out of the store, which is all that there is after a restart.
func TestSinceFromMemory(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		a.restart() // what was there before is in the store only
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		target := b.send(room, text(bob, "one"))
		tampered := b.send(room, text(bob, "true"))
		n.hold()
		a.receive("b.example", target.JSON(), forged(tampered))
		a.send(room, redactionOf("10", alice, target.ID()))
		a.receive("b.example", tampered.JSON())
		pass(time.Second)

		pages := func() (list []string) {
			for after := range persistence.Position(40) {
				for _, limit := range []int{1, 3, 100} {
					list = append(list, fmt.Sprintln(after, limit))
					for _, d := range must(a.engine.Since(t.Context(), after, limit)) {
						list = append(list, seen(d))
					}
				}
			}
			return list
		}
		fromMemory := pages()
		a.restart()
		if diff := cmp.Diff(pages(), fromMemory); diff != "" {
			t.Errorf("(-store +memory):\n%s", diff)
		}
	})
}
