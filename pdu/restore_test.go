// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// forged is the event with another text in its content: its content hash does not match any more.
func forged(e *event.Event) []byte {
	return []byte(strings.Replace(string(e.JSON()), `"true"`, `"false"`, 1))
}

// deliveriesOf is what subscribers were told of an event.
func (s *server) deliveriesOf(id ident.EventID) (list []pdu.Delivery) {
	s.net.t.Helper()
	for _, d := range must(s.engine.Since(s.net.t.Context(), 0, 1_000)) {
		if d.Event.ID() == id {
			list = append(list, d)
		}
	}
	return list
}

// Whoever tampers with an event, and comes first, does not have the last word: a copy whose content hash is good takes the place of what
// redaction leaves (P-15), however it comes, also when we were killed in between, and subscribers are told anew.
func TestTamperedThenWhole(t *testing.T) {
	for _, test := range []struct {
		name, version string
		bring         func(t *testing.T, n *network, a *server, room ident.RoomID, e *event.Event)
	}{
		{"in a transaction", "10", func(_ *testing.T, _ *network, a *server, _ ident.RoomID, e *event.Event) {
			a.receive("b.example", e.JSON())
		}},
		{"by another server, in room version 1", "1", func(_ *testing.T, _ *network, a *server, _ ident.RoomID, e *event.Event) {
			a.receive("c.example", e.JSON())
		}},
		{"before a kill", "12", func(t *testing.T, _ *network, a *server, _ ident.RoomID, e *event.Event) {
			a.dieAfterReply(t, "b.example", e.JSON())
		}},
		{"asked for", "11", func(t *testing.T, n *network, a *server, _ ident.RoomID, e *event.Event) {
			n.setLie(func(_ ident.ServerName, call transport.Call) string {
				if !strings.Contains(call.Path, "/event/") {
					return ""
				}
				return `{"pdus":[` + string(e.JSON()) + `]}`
			})
			if _, err := a.engine.FetchEvent(t.Context(), "b.example", e.ID(), true); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				a, b := n.start("a.example"), n.start("b.example")
				room := a.createPublic(test.version, alice)
				b.join(room, bob, a)
				n.deliver()
				e := b.send(room, text(bob, "true"))
				n.hold()
				a.receive("b.example", forged(e))
				if d := a.deliveriesOf(e.ID()); len(d) != 1 || !d[0].Mismatch || d[0].Event.Content().Has("body") {
					t.Fatalf("delivered %+v, want it once, redacted", d)
				}
				first := a.stored(e.ID()).Position
				test.bring(t, n, a, room, e)
				pass(time.Second)
				a.wantRedacted(e, "")
				if got := a.stored(e.ID()).Position; got != first {
					t.Errorf("position %d, want %d as before", got, first)
				}
				d := a.deliveriesOf(e.ID())
				if len(d) != 2 || d[0].Position != first || d[0].Restored || !d[1].Restored || d[1].Mismatch || !d[1].Event.Content().Has("body") {
					t.Errorf("delivered %+v, want it again, whole", d)
				}
				v, _, err := a.engine.Verdict(t.Context(), e.ID())
				if err != nil || v.Redacted || len(v.Checks) < 2 || !strings.Contains(v.Checks[1].Detail, "took its place") {
					t.Errorf("record %+v, %v", v, err)
				}
				a.receive("c.example", forged(e), e.JSON())
				if d := a.deliveriesOf(e.ID()); len(d) != 2 {
					t.Errorf("delivered %d times, want twice", len(d))
				}
				a.restart().wantRedacted(e, "")
			})
		})
	}
}

// dieAfterReply is a crash when a transaction has been replied to, and nothing of it was worked on. Then the server is started again.
func (s *server) dieAfterReply(t *testing.T, from ident.ServerName, wire []byte) {
	t.Helper()
	dead := errors.New("killed")
	commits := 0
	s.net.mu.Lock()
	s.net.failing = true
	s.crash = func(p persistence.Point) error {
		if p != persistence.BeforeCommit {
			return nil
		}
		if commits++; commits > 1 {
			return dead
		}
		return nil
	}
	s.net.mu.Unlock()
	s.receive(from, wire)
	s.restart()
}

// A whole copy that comes while the event waits for its parents is what is judged and delivered then.
func TestWholeWhileQuarantined(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		n.setRefuse(refuseAll)
		parent, e := b.send(room, text(bob, "before")), b.send(room, text(bob, "true"))
		n.hold()
		a.receive("b.example", forged(e))
		a.receive("b.example", e.JSON())
		a.receive("b.example", parent.JSON())
		a.wantRedacted(e, "")
		if d := a.deliveriesOf(e.ID()); len(d) != 1 || d[0].Mismatch || d[0].Restored {
			t.Errorf("delivered %+v, want it once, whole", d)
		}
	})
}

// What was redacted for good stays so, whatever copies come (P-62); and a redaction that was tampered with, and so named nothing, takes
// effect when it is whole (P-60).
func TestWholeAndRedactions(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		e, other := b.send(room, text(bob, "true")), b.send(room, text(bob, "other"))
		n.hold()
		a.receive("b.example", forged(e), other.JSON())
		by := a.send(room, redactionOf("10", alice, e.ID()))
		a.receive("b.example", e.JSON())
		a.wantRedacted(e, by.ID())

		redaction := b.send(room, redactionOf("10", bob, other.ID()))
		n.hold()
		a.receive("b.example", []byte(strings.Replace(string(redaction.JSON()), "because", "whatever", 1)))
		a.wantRedacted(other, "")
		a.receive("b.example", redaction.JSON())
		a.wantRedacted(other, redaction.ID())
		if d := a.deliveriesOf(redaction.ID()); len(d) != 1 {
			t.Errorf("the redaction was delivered %d times, want once", len(d))
		}
	})
}

// Where the id is no hash, another event under the id of one that is here does not take its place.
func TestAnotherEventUnderTheID(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("1", alice)
		b.join(room, bob, a)
		n.deliver()
		e := b.send(room, text(bob, "true"))
		n.hold()
		a.receive("b.example", forged(e))
		p := event.Proto{RoomID: room, Sender: bob, Type: "m.room.message", Content: []byte(`{"body":"mine"}`), OriginServerTS: 1, Depth: e.Depth()}
		other, err := event.Build(e.Version(), p, "b.example", keyOf("b.example"))
		if err != nil {
			t.Fatal(err)
		}
		a.receive("b.example", []byte(strings.Replace(string(other.JSON()), string(other.ID()), string(e.ID()), 1)))
		if got := a.stored(e.ID()); got.Event.Content().Has("body") {
			t.Errorf("stored %s, want what was left of the first", got.Event.JSON())
		}
	})
}

// The whole copy of what is known, redacted, comes in an answer to backfill, and in that to a join.
func TestWholeInHistory(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		topic := a.send(room, stateDraft(alice, "m.room.topic", `{"topic":"true"}`))
		said := a.send(room, text(alice, "true"))
		n.setLie(func(_ ident.ServerName, call transport.Call) string {
			if !strings.Contains(call.Path, "/backfill/") {
				return ""
			}
			return `{"pdus":[` + string(forged(said)) + `]}`
		})
		b.join(room, bob, a)
		if _, err := b.engine.Backfill(t.Context(), room, 1); err != nil {
			t.Fatal(err)
		}
		if got := b.stored(said.ID()); got.Event.Content().Has("body") {
			t.Fatalf("stored %s, want it redacted", got.Event.JSON())
		}
		n.setLie(func(_ ident.ServerName, call transport.Call) string {
			if !strings.Contains(call.Path, "/backfill/") {
				return ""
			}
			return `{"pdus":[` + string(said.JSON()) + `,` + string(topic.JSON()) + `]}`
		})
		if _, err := b.engine.Backfill(t.Context(), room, 10); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		b.wantRedacted(said, "")
		if d := b.deliveriesOf(said.ID()); len(d) != 0 {
			t.Errorf("history was delivered: %+v", d)
		}
	})
}
