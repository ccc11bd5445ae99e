// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// softFailed is a room of a and b in which a message of bob, made before he was banned, came after it; and his ban was lifted.
func softFailed(t *testing.T, n *network) (a *server, room ident.RoomID, refused *event.Event) {
	t.Helper()
	a, b := n.start("a.example"), n.start("b.example")
	room = a.createPublic("10", alice)
	b.join(room, bob, a)
	n.deliver()
	refused = b.send(room, text(bob, "before I was banned"))
	n.hold()
	a.send(room, member(alice, bob, "ban"))
	n.hold()
	a.receive("b.example", refused.JSON())
	a.wantOutcome(refused, pdu.SoftFailed, "P-29", "")
	a.send(room, member(alice, bob, "leave"))
	n.hold()
	return a, room, refused
}

// Late rescue: an event that soft-failed and would not now is accepted when it is judged again. It is delivered then, and is an
// extremity from then on.
func TestJudgeAgainWhatSoftFailed(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, room, refused := softFailed(t, n)
		before, extremities := a.delivered(), a.extremities(room)
		if v, err := a.engine.JudgeAgain(t.Context(), refused.ID()); err != nil || v.Outcome != pdu.SoftFailed {
			t.Fatalf("bob has left: %v, %v, want it to soft-fail still", v.Outcome, err)
		}
		if diff := cmp.Diff(extremities, a.extremities(room)); diff != "" {
			t.Errorf("extremities, though nothing changed: %s", diff)
		}
		join, err := n.servers["b.example"].handOver(room, member(bob, bob, "join"), a)
		if err != nil {
			t.Fatal(err)
		}
		h := pdu.Handover{Room: room, EventID: join.ID(), Membership: "join"}
		if _, err := a.engine.AcceptMembership(t.Context(), "b.example", h, join.JSON()); err != nil {
			t.Fatal(err)
		}
		v, err := a.engine.JudgeAgain(t.Context(), refused.ID())
		if err != nil || v.Outcome != pdu.Accepted {
			t.Fatalf("judged again: %+v, %v, want accepted", v, err)
		}
		if v.Checks[0].ID != "again" || !strings.Contains(v.Checks[0].Detail, "soft-failed before") {
			t.Errorf("the record does not say what it was: %+v", v.Checks[0])
		}
		if diff := cmp.Diff(append(before, join.ID(), refused.ID()), a.delivered()); diff != "" {
			t.Errorf("delivered: %s", diff)
		}
		want := []ident.EventID{join.ID(), refused.ID()}
		slices.Sort(want)
		if diff := cmp.Diff(want, a.extremities(room)); diff != "" {
			t.Errorf("extremities: %s", diff)
		}
		if member := a.stateEvent(room, memberOf(bob)); member.ID() != join.ID() {
			t.Errorf("the state has %s for bob, want his second join", member.ID())
		}
		if _, err := a.engine.JudgeAgain(t.Context(), refused.ID()); !errors.Is(err, pdu.ErrAccepted) {
			t.Errorf("judged a third time: %v, want ErrAccepted", err)
		}
		if _, err := a.engine.JudgeAgain(t.Context(), "$unknown"); !errors.Is(err, pdu.ErrUnknownEvent) {
			t.Errorf("an unknown event: %v, want ErrUnknownEvent", err)
		}
	})
}

// turned is a room of a, and an event that a knew by its auth events only, by which carol may join, and then rejected when its
// place in the graph became known; and one that rests on it.
func turned(t *testing.T, n *network) (a *server, room ident.RoomID, cause, dependent *event.Event) {
	t.Helper()
	a = n.start("a.example")
	room = a.createPublic("10", alice)
	auth := a.authFor(room, createSlot, levelsSlot, rulesSlot)
	closed := a.send(room, stateDraft(alice, "m.room.join_rules", `{"join_rule":"invite"}`))
	cause = build(t, room, member(carol, carol, "join"), []*event.Event{closed}, auth)
	dependent = build(t, room, text(carol, "x"), []*event.Event{closed}, append(a.authFor(room, createSlot, levelsSlot), cause))
	n.start("c.example").serveEvents(cause)
	a.receive("c.example", dependent.JSON())
	time.Sleep(time.Minute)
	synctest.Wait()
	a.wantOutcome(dependent, pdu.Rejected, "P-28", "")
	a.receive("c.example", cause.JSON())
	a.wantOutcome(cause, pdu.Rejected, "P-28", "")
	return a, room, cause, dependent
}

// serveEvents makes a server answer for single events, which it does not have.
func (s *server) serveEvents(events ...*event.Event) {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	s.net.lie = func(to ident.ServerName, call transport.Call) string {
		for _, e := range events {
			if to == s.name && strings.HasSuffix(call.Path, "/event/"+url.PathEscape(string(e.ID()))) {
				return fmt.Sprintf(`{"pdus":[%s]}`, e.JSON())
			}
		}
		return ""
	}
}

// What rests on an event that turned out to be rejected is judged again of itself, after a while, also when we were down meanwhile.
func TestDependentsAreJudgedAgain(t *testing.T) {
	for _, restart := range []bool{false, true} {
		inBubble(t, func(t *testing.T, n *network) {
			a, room, _, dependent := turned(t, n)
			extremities := a.extremities(room)
			if restart {
				a.restart()
			}
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			a.wantOutcome(dependent, pdu.Rejected, "P-27", "")
			if diff := cmp.Diff(extremities, a.extremities(room)); diff != "" {
				t.Errorf("extremities: %s", diff)
			}
		})
	}
}

// A crash at any point of judging again leaves it done or to be done.
func TestCrashWhileJudgingAgain(t *testing.T) {
	for nth := range 2 {
		inBubble(t, func(t *testing.T, n *network) {
			a, _, _, dependent := turned(t, n)
			n.failing = true
			a.crashAt(nth)
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			a.restart()
			time.Sleep(10 * time.Minute)
			synctest.Wait()
			a.wantOutcome(dependent, pdu.Rejected, "P-27", "")
		})
	}
}

// When an event falls, what it followed is an extremity again; when it rises, it takes that place.
func TestExtremitiesAfterAFall(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, room, evasion, after, release := evaded(t, n)
		follower := b.send(room, text(bob, "follows both"))
		n.deliver()
		if !slices.Contains(follower.PrevEvents(), evasion.ID()) {
			t.Fatalf("it follows %v: nothing is tested", follower.PrevEvents())
		}
		release()
		time.Sleep(time.Hour)
		synctest.Wait()
		b.wantOutcome(evasion, pdu.Rejected, "P-28", "")
		b.wantOutcome(follower, pdu.Accepted, "", "")
		if diff := cmp.Diff([]ident.EventID{follower.ID()}, b.extremities(room)); diff != "" {
			t.Errorf("extremities: %s", diff)
		}
		a.wantOutcome(after, pdu.Accepted, "", "")
	})
}

// An event that is quarantined stays so, and its record says so, when what it rests on is judged again.
func TestQuarantinedWhileOthersAreJudgedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, _, room, _ := crowded(n, "10")
		n.withholdState()
		if _, err := b.joinPartially(room, bob, a); err != nil {
			t.Fatal(err)
		}
		n.deliver()
		a.send(room, stateDraft(alice, "m.room.power_levels", `{"users":{"@alice:a.example":100,"@bob:b.example":50}}`))
		n.deliver()
		auth := a.authFor(room, createSlot, levelsSlot, memberOf(alice))
		never := build(t, room, text(alice, "never given"), auth[1:2], auth)
		waits := build(t, room, text(alice, "waits"), []*event.Event{never}, auth)
		refusal := notFound("event", "get_missing_events")
		n.setRefuse(func(from, to ident.ServerName, call transport.Call) error {
			if call.Query.Get("event_id") == string(waits.ID()) {
				return refusal(from, to, transport.Call{Path: "/event/"})
			}
			return refusal(from, to, call)
		})
		b.receive("a.example", waits.JSON())
		pass(time.Hour)
		b.wantWhole(room, a)
		b.wantOutcome(waits, pdu.Quarantined, "", "")
		if came, err := b.engine.Came(t.Context(), waits.ID()); err != nil || came.JudgedAt != 0 {
			t.Errorf("it came %+v, %v: want it not judged", came, err)
		}
		b.receive("a.example", never.JSON())
		b.wantOutcome(waits, pdu.Accepted, "", "")
	})
}
