// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

func forbid(_, _ ident.ServerName, _ transport.Call) error {
	return &transport.Failure{Class: transport.Class4xxContent, Status: 403, Code: "M_FORBIDDEN"}
}

// Who is removed while it lacks an event is not given that any more (P-89). It believes the removal all the same: of those who may
// remove it, not of others.
func TestRemovalAfterAGap(t *testing.T) {
	for _, test := range []struct {
		name       string
		remove     func(a, c *server, parent *event.Event) *event.Event
		membership pdu.Membership
	}{
		{"by the creator", func(a, _ *server, parent *event.Event) *event.Event {
			return a.send(parent.RoomID(), member(alice, bob, "ban"))
		}, pdu.Left},
		{"by who has no power", func(_, c *server, parent *event.Event) *event.Event {
			room := parent.RoomID()
			create := c.stateEvent(room, event.StateKey{Type: "m.room.create"})
			levels := c.stateEvent(room, event.StateKey{Type: "m.room.power_levels"})
			auth := []*event.Event{create, levels, c.stateEvent(room, memberOf(carol)), c.stateEvent(room, memberOf(bob))}
			return build(t, room, member(carol, bob, "leave"), []*event.Event{parent}, auth)
		}, pdu.Joined},
	} {
		inBubble(t, func(t *testing.T, n *network) {
			a, b, c := n.start("a.example"), n.start("b.example"), n.start("c.example")
			room := a.createPublic("10", alice)
			b.join(room, bob, a)
			n.deliver()
			c.join(room, carol, a)
			n.deliver()
			parent := a.send(room, text(alice, "never told to b"))
			n.hold()
			removal := test.remove(a, c, parent)
			n.hold()
			if test.membership == pdu.Joined { // it refuses all the same
				n.setRefuse(forbid)
			}
			b.receive(removal.Sender().Server(), removal.JSON())
			pass(time.Hour)
			if info, err := b.engine.Room(t.Context(), room); err != nil || info.Membership != test.membership {
				t.Errorf("%s: the membership of b is %v, %v, want %v", test.name, info.Membership, err, test.membership)
			}
			b.wantOutcome(removal, pdu.Quarantined, "", "")
		})
	}
}
