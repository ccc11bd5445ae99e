// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"errors"
	"testing"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/trace"
)

// A resident whose own keys cannot be had is not believed; over another server the room is joined without its users, and traced.
func TestJoinWithoutTheResidentsKeys(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		source := &someKeys{without: "b.example"}
		n.keys = source
		a, b, c := n.start("a.example"), n.start("b.example"), n.start("c.example")
		room := a.createPublic("10", alice)
		member := b.join(room, bob, a)
		n.deliver()
		source.down.Store(true)
		if _, err := c.tryJoin(room, "@carol:c.example", b); !errors.Is(err, event.ErrNoKey) {
			t.Errorf("join over b.example: %v, want ErrNoKey", err)
		}
		c.join(room, "@carol:c.example", a)
		told := 0
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, e := range c.traced {
			if r, ok := e.(trace.PDUReceived); ok && r.Event == string(member.ID()) && r.Arrival == "join" && r.Origin == "a.example" {
				told++
			}
		}
		if told != 1 {
			t.Errorf("traced %d times that bob's join was left out, want once", told)
		}
	})
}
