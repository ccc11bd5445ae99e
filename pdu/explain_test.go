// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

func (s *server) verdict(id ident.EventID) pdu.Verdict {
	s.net.t.Helper()
	v, found, err := s.engine.Verdict(s.net.t.Context(), id)
	if err != nil || !found {
		s.net.t.Fatalf("%s: verdict on %s: %v, %v", s.name, id, found, err)
	}
	return v
}

func sorted(ids ...ident.EventID) []ident.EventID { return slices.Sorted(slices.Values(ids)) }

// A record says of each check what it was made against, which were not reached, how the event came, and what the outcome hangs on.
func TestVerdictsExplainThemselves(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("11", alice)
		join := b.join(room, bob, a)
		n.deliver()
		create := a.stateEvent(room, createSlot)
		levels := a.send(room, stateDraft(alice, "m.room.power_levels", `{"events":{"m.child":0},"events_default":10,"users":{"@alice:a.example":100}}`))
		ofBob := []*event.Event{create, levels, join}
		top := a.send(room, text(alice, "top"))
		rejected := build(t, room, stateDraft(bob, "m.room.topic", `{"topic":"x"}`), []*event.Event{top}, ofBob)
		atState := build(t, room, text(bob, "x"), []*event.Event{top}, []*event.Event{create, join})
		ban := a.send(room, member(alice, bob, "ban"))
		draft := text(bob, "late")
		draft.Type = "m.child"
		late := build(t, room, draft, []*event.Event{top}, ofBob)
		n.hold()
		staged, err := a.engine.ReceivePDUs(t.Context(), transaction.Inbound{
			Origin: "b.example", TxnID: "T-1", PDUs: [][]byte{rejected.JSON(), atState.JSON(), late.JSON()},
		})
		if err == nil {
			err = staged.Keep(t.Context(), func(*persistence.Tx) error { return nil })
		}
		if err != nil {
			t.Fatal(err)
		}
		a.receive("b.example")
		for _, tt := range []struct {
			e         *event.Event
			reached   string
			inputs    []ident.EventID
			causes    []ident.EventID
			permanent bool
		}{
			{rejected, "P-25 P-26 P-27", sorted(create.ID(), levels.ID(), join.ID()), nil, true},
			{atState, "P-25 P-26 P-27 P-28", sorted(create.ID(), levels.ID(), join.ID()), sorted(create.ID(), levels.ID(), join.ID()), false},
			{late, "P-25 P-26 P-27 P-28 P-29", sorted(create.ID(), levels.ID(), ban.ID()), sorted(create.ID(), levels.ID(), ban.ID()), false},
		} {
			v := a.verdict(tt.e.ID())
			var reached, order []string
			for _, s := range v.Steps() {
				if order = append(order, s.ID); s.Reached {
					reached = append(reached, s.ID)
				}
			}
			if got := strings.Join(reached, " "); got != tt.reached || !slices.IsSorted(order) || len(order) < 5 {
				t.Errorf("checks %v, reached %s, want %s", order, got, tt.reached)
			}
			if diff := cmp.Diff(tt.inputs, sorted(v.Decisive().Inputs...)); diff != "" {
				t.Errorf("%s was judged against: %s", v.Decisive().ID, diff)
			}
			if diff := cmp.Diff(tt.causes, sorted(v.Causes...)); diff != "" {
				t.Errorf("%s hangs on: %s", v.Decisive().ID, diff)
			}
			if v.Permanent() != tt.permanent {
				t.Errorf("%s: permanent is %v", v.Decisive().ID, v.Permanent())
			}
			if v.Via.String() != "transaction" || v.Txn != "T-1" || v.Origin != "b.example" || v.Judgements != 1 || v.FirstAt != v.JudgedAt {
				t.Errorf("came by %v %q of %s, judged %d times, first at %d", v.Via, v.Txn, v.Origin, v.Judgements, v.FirstAt)
			}
		}
		list, next, err := a.engine.Verdicts(t.Context(), pdu.VerdictFilter{Room: room, Outcome: int(pdu.SoftFailed)}, 10)
		if err != nil || next != 0 || len(list) != 1 || list[0].Event != late.ID() {
			t.Errorf("soft-failed: %+v, %d, %v", list, next, err)
		}
	})
}

// What depends on a refused event, or on one that is missing, is found from it, however far (inspector: "what depends on it").
func TestDependents(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		n.mu.Lock()
		n.refuse = func(ident.ServerName, ident.ServerName, transport.Call) error { return errPower }
		n.mu.Unlock()
		auth := b.authFor(room, createSlot, levelsSlot, memberOf(bob))
		top := a.send(room, text(alice, "top"))
		levels := stateDraft(bob, "m.room.power_levels", `{"users":{"@bob:b.example":100}}`)
		first := build(t, room, levels, []*event.Event{top}, auth)
		second := build(t, room, levels, []*event.Event{top}, []*event.Event{auth[0], first, auth[2]})
		third := build(t, room, text(bob, "by my own power"), []*event.Event{top}, []*event.Event{auth[0], second, auth[2]})
		a.receive("b.example", first.JSON(), second.JSON(), third.JSON())
		want := []pdu.Dependent{
			{Event: second.ID(), Outcome: pdu.Rejected, Because: first.ID()}, {Event: third.ID(), Outcome: pdu.Rejected, Because: second.ID()},
		}
		got, err := a.engine.Dependents(t.Context(), first.ID(), 10)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("of the first: %s, %v", diff, err)
		}
		if got, err = a.engine.Dependents(t.Context(), first.ID(), 1); len(got) != 1 || err != nil {
			t.Errorf("one of them: %v, %v", got, err)
		}
		if v := a.verdict(second.ID()); v.Permanent() || len(v.Causes) != 1 || v.Causes[0] != first.ID() {
			t.Errorf("the second: permanent %v, causes %v; the first may be judged again", v.Permanent(), v.Causes)
		}
		if v := a.verdict(first.ID()); !v.Permanent() {
			t.Error("the first is refused by what it rests on itself")
		}

		missing := build(t, room, text(bob, "missing"), []*event.Event{top}, auth)
		waits := build(t, room, text(bob, "waits"), []*event.Event{missing}, auth)
		a.receive("b.example", waits.JSON())
		want = []pdu.Dependent{{Event: waits.ID(), Outcome: pdu.Quarantined, Because: missing.ID()}}
		got, err = a.engine.Dependents(t.Context(), missing.ID(), 10)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("of the missing one: %s, %v", diff, err)
		}

		time.Sleep(time.Minute) // it is sought in vain
		a.receive("b.example", missing.JSON())
		v := a.verdict(waits.ID())
		if v.Outcome != pdu.Accepted || v.Searches == 0 || v.SearchNote == "" || v.Judgements != 1 {
			t.Errorf("having waited: %+v, want the searches in the record", v)
		}
		came, err := a.engine.Came(t.Context(), waits.ID())
		if err != nil || came.Origin != "b.example" || came.Via.String() != "transaction" || came.JudgedAt-came.ReceivedAt != 60_000 || came.Position == 0 {
			t.Errorf("the one that waited came: %+v, %v", came, err)
		}
	})
}

// How an event came is known of every one that is stored.
func TestCame(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("12", alice)
		create := a.stateEvent(room, createSlot)
		join := b.join(room, bob, a)
		n.deliver()
		for _, tt := range []struct {
			s    *server
			e    *event.Event
			want string
		}{
			{a, create, "own a.example"}, {b, create, "join a.example"}, {a, join, "request b.example"},
			{b, a.send(room, text(alice, "x")), "transaction a.example"},
		} {
			n.deliver()
			came, err := tt.s.engine.Came(t.Context(), tt.e.ID())
			if got := came.Via.String() + " " + string(came.Origin); got != tt.want || err != nil || came.ReceivedAt == 0 || came.JudgedAt < came.ReceivedAt {
				t.Errorf("%s of %s: %+v, %v, want %s", tt.e.Type(), tt.s.name, came, err, tt.want)
			}
		}
		if _, err := a.engine.Came(t.Context(), "$none"); err == nil {
			t.Error("an unknown event came")
		}
	})
}
