// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Some history is there a little after a join without anybody asking for it, as much as the server is set to.
func TestHistoryAhead(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.start("a.example")
		n.ahead = 50
		b := n.start("b.example")
		room := a.createPublic("10", alice)
		var said []ident.EventID
		for k := range 300 {
			said = append(said, a.send(room, text(alice, fmt.Sprint(k))).ID())
		}
		b.join(room, bob, a)
		n.deliver()
		pass(time.Minute)
		p, err := b.engine.BackfillProgress(t.Context(), room)
		if err != nil || p.Total != 100 || len(p.Gaps) != 1 { // an answer has 100 events
			t.Errorf("progress %+v, %v; want 100 events, and a gap before them", p, err)
		}
		if got := b.stored(said[len(said)-1]); got.Outlier || got.Outcome != pdu.Accepted || got.Position != 0 {
			t.Errorf("the last before the join is %+v, want it in the graph, undelivered", got)
		}
	})
}

// Gaps for which nobody has anything do not keep others from being asked for, however many they are and however many calls it takes: the
// ones that were asked for the longest ago come first, and of new ones the newest. Those who sent what follows are asked first.
func TestBackfillComesToEveryGap(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, c := n.start("a.example"), n.start("b.example"), n.start("c.example")
		room := a.createPublic("10", alice)
		a.send(room, text(alice, "before the joins"))
		c.join(room, carol, a)
		n.deliver()
		b.join(room, bob, a)
		n.deliver()
		const made = 5_000
		err := b.store.Update(t.Context(), func(tx *persistence.Tx) error {
			for k := range made {
				gap := persistence.Gap{Event: ident.EventID(fmt.Sprintf("$%043d", k)), Depth: 100, Server: "c.example"}
				if err := tx.AddGap(1, gap); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		n.asked = nil
		calls := 0
		for p := (pdu.BackfillProgress{}); p.Found == 0; calls++ {
			if p, err = b.engine.Backfill(t.Context(), room, 10); err != nil || calls > 10 {
				t.Fatalf("%d calls: %+v, %v", calls, p, err)
			}
			pass(time.Second)
		}
		var asked []string
		for _, request := range n.asked {
			if strings.Contains(request, "/backfill/") {
				asked = append(asked, strings.Fields(request)[1])
			}
		}
		if calls < 2 || asked[0] != "c.example" || !slices.Contains(asked, "a.example") {
			t.Errorf("%d calls, who asked %.200v; want more than one, and c.example first", calls, asked)
		}
	})
}
