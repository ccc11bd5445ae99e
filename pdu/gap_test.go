// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"encoding/json"
	"fmt"
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

const dave ident.UserID = "@dave:d.example"

// notFound refuses requests with any of the words in their path, as a server does that does not have the event.
func notFound(words ...string) func(from, to ident.ServerName, call transport.Call) error {
	return func(_, _ ident.ServerName, call transport.Call) error {
		for _, word := range words {
			if strings.Contains(call.Path, "/"+word+"/") {
				return &transport.Failure{Class: transport.Class4xxContent, Status: 404, Code: "M_NOT_FOUND"}
			}
		}
		return nil
	}
}

func (n *network) setLie(lie func(to ident.ServerName, call transport.Call) string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lie = lie
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// requestsFor counts the requests so far that have a word in their path.
func (n *network) requestsFor(word string) (count int) {
	for _, request := range n.requests() {
		if strings.Contains(request, "/"+word+"/") {
			count++
		}
	}
	return count
}

// A gap of 1,000 events is walked back without a pause between the questions, and everything in it is delivered in order.
func TestDeepGap(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		var sent []ident.EventID
		var last *event.Event
		for k := range 1_000 {
			last = b.send(room, text(bob, fmt.Sprint(k)))
			sent = append(sent, last.ID())
		}
		n.hold()
		begun := time.Now()
		a.receive("b.example", last.JSON())
		a.wantOutcome(last, pdu.Accepted, "", "")
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		delivered := a.delivered()
		if diff := cmp.Diff(sent, delivered[len(delivered)-len(sent):]); diff != "" {
			t.Errorf("delivered: %s", diff)
		}
		if diff := cmp.Diff([]ident.EventID{last.ID()}, a.extremities(room)); diff != "" {
			t.Errorf("extremities: %s", diff)
		}
		if count := len(n.requests()); count > 1_000/50+5 {
			t.Errorf("%d requests, want some 20", count)
		}
	})
}

// The sender withholds a parent, but another server of the room has it.
func TestParentWithheldByTheSender(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, c := n.start("a.example"), n.start("b.example"), n.start("c.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		c.join(room, carol, a)
		n.deliver()
		first := b.send(room, text(bob, "1"))
		c.receive("b.example", first.JSON())
		second := b.send(room, text(bob, "2"))
		n.hold()
		refusal := notFound("event", "get_missing_events", "state_ids", "state")
		n.setRefuse(func(from, to ident.ServerName, call transport.Call) error {
			if to != "b.example" {
				return nil
			}
			return refusal(from, to, call)
		})
		a.receive("b.example", second.JSON())
		a.wantOutcome(second, pdu.Accepted, "", "")
		a.wantOutcome(first, pdu.Accepted, "", "")
	})
}

// stranded is a room of a, b and c in which b's last event reaches a alone, and nobody gives what came before it: a topic, and a
// message after it.
func stranded(t *testing.T, n *network) (a *server, room ident.RoomID, topic, message, last *event.Event) {
	t.Helper()
	a, b, c := n.start("a.example"), n.start("b.example"), n.start("c.example")
	d := n.start("d.example")
	room = a.createPublic("10", alice)
	for _, other := range []struct {
		*server
		user ident.UserID
	}{{b, bob}, {c, carol}, {d, dave}} {
		other.join(room, other.user, a)
		n.deliver()
	}
	a.send(room, stateDraft(alice, "m.room.power_levels", `{"users":{"@alice:a.example":100,"@bob:b.example":50}}`))
	n.deliver()
	topic = b.send(room, stateDraft(bob, "m.room.topic", `{"topic":"t"}`))
	message = b.send(room, text(bob, "1"))
	last = b.send(room, text(bob, "2"))
	for _, other := range []*server{c, d} {
		other.receive("b.example", topic.JSON(), message.JSON(), last.JSON())
	}
	n.hold()
	n.setRefuse(notFound("event", "get_missing_events"))
	return a, room, topic, message, last
}

var topicSlot = event.StateKey{Type: "m.room.topic"}

// When nobody gives the parents, the state before the event is asked for, and the event has its place on that: the parents are
// gaps, which close when they arrive after all.
func TestStateForWhatNobodyHas(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, room, topic, message, last := stranded(t, n)
		before := a.state(room)
		a.receive("b.example", last.JSON())
		a.wantOutcome(last, pdu.Quarantined, "", "")
		a.restart()
		pass(time.Minute)
		a.wantOutcome(last, pdu.Accepted, "", "")
		v, _, err := a.engine.Verdict(t.Context(), last.ID())
		if err != nil || !slices.ContainsFunc(v.Checks, func(c pdu.Check) bool { return c.Rule == "P-87" }) {
			t.Errorf("checks %+v, %v: want one that tells of the given state", v.Checks, err)
		}
		before[topicSlot] = topic.ID()
		if diff := cmp.Diff(before, a.state(room)); diff != "" {
			t.Errorf("state: %s", diff)
		}
		if got, err := a.engine.Event(t.Context(), topic.ID()); err != nil || !got.Outlier || got.Position != 0 {
			t.Errorf("the topic is %+v, %v: want an outlier", got, err)
		}
		reply := a.send(room, text(alice, "reply"))
		n.setRefuse(nil)
		a.receive("b.example", message.JSON())
		for _, e := range []*event.Event{topic, message} {
			a.wantOutcome(e, pdu.Accepted, "", "")
		}
		if diff := cmp.Diff([]ident.EventID{reply.ID()}, a.extremities(room)); diff != "" {
			t.Errorf("extremities: %s", diff)
		}
	})
}

// Of three states the one is taken that most servers give.
func TestLyingState(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, room, topic, _, last := stranded(t, n)
		n.setLie(func(to ident.ServerName, call transport.Call) string {
			if to != "b.example" || !strings.Contains(call.Path, "/state_ids/") {
				return ""
			}
			body, err := n.servers["b.example"].request(t.Context(), "a.example", call)
			var ids map[string][]ident.EventID
			if err == nil {
				err = json.Unmarshal(body, &ids)
			}
			if err != nil {
				t.Error(err)
			}
			ids["pdu_ids"] = slices.DeleteFunc(ids["pdu_ids"], func(id ident.EventID) bool { return id == topic.ID() })
			lie, _ := json.Marshal(ids)
			return string(lie)
		})
		a.receive("b.example", last.JSON())
		pass(time.Minute)
		a.wantOutcome(last, pdu.Accepted, "", "")
		if got := a.stateEvent(room, topicSlot); got == nil || got.ID() != topic.ID() {
			t.Errorf("the topic is %v: the server that hides it was believed", got)
		}
		if count := n.requestsFor("state_ids"); count != 3 {
			t.Errorf("%d servers were asked for the state, want 3", count)
		}
	})
}

// What is no state of the room is refused, the event waits on, and the record says why; a good answer then closes the gap.
func TestAnswersThatAreNoState(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, room, _, _, last := stranded(t, n)
		stray := a.stateEvent(a.createPublic("10", alice), createSlot).ID()
		create, levels := a.stateEvent(room, createSlot).ID(), a.stateEvent(room, levelsSlot)
		older := levels.AuthEvents()
		tooMany, reason := 200_001, "more than 200000 events"
		if testing.Short() { // the race detector takes half a minute for lists so long, which one goroutine reads
			tooMany, reason = 2_000, "not given"
		}
		endless := make([]string, tooMany)
		for k := range endless {
			endless[k] = fmt.Sprintf(`"$%043d"`, k)
		}
		a.receive("b.example", last.JSON())
		for _, tt := range []struct{ answer, reason string }{
			{`{}`, "no create event"},
			{`[]`, "read state ids"},
			{`{"pdu_ids":[7]}`, "read state ids"},
			{`{"pdu_ids":["x"]}`, "event id"},
			{`{"pdu_ids":["` + string(create) + `"],"auth_chain_ids":[` + strings.Join(endless, ",") + `]}`, reason},
			{`{"pdu_ids":["` + string(create) + `"],"auth_chain_ids":[` + strings.Join(endless[:1000], ",") + `]}`, "not given"},
			{`{"pdu_ids":["` + string(create) + `"],"auth_chain_ids":[` + endless[0] + `]}`, "404"},
			{`{"pdu_ids":["` + string(stray) + `"]}`, "is of room"},
			{`{"pdu_ids":["` + string(create) + `","` + string(levels.ID()) + `","` + string(older[len(older)-1]) + `","` +
				string(a.stateEvent(room, memberOf(alice)).ID()) + `","` + string(last.PrevEvents()[0]) + `"]}`, "404"},
		} {
			n.setLie(func(_ ident.ServerName, call transport.Call) string {
				if strings.Contains(call.Path, "/state_ids/") {
					return tt.answer
				}
				if strings.Contains(call.Path, "/state/") {
					return `{"pdus":[],"auth_chain":[]}`
				}
				return ""
			})
			pass(2 * time.Hour)
			a.wantOutcome(last, pdu.Quarantined, "", "")
			list, budget, err := a.engine.Quarantine(t.Context(), room, 10)
			if err != nil || len(list) != 1 {
				t.Fatalf("quarantine: %+v, %v", list, err)
			}
			w := list[0]
			if !strings.Contains(w.Note, tt.reason) {
				t.Errorf("%.100s: the note is %q, want %q in it", tt.answer, w.Note, tt.reason)
			}
			if w.Event != last.ID() || w.Requests == 0 || w.Attempts == 0 || len(w.Asked) != 3 || len(w.Missing) != 1 || budget.Requests == 0 {
				t.Errorf("quarantine: %+v, budget %+v", w, budget)
			}
		}
		n.setLie(nil)
		pass(2 * time.Hour)
		a.wantOutcome(last, pdu.Accepted, "", "")
	})
}

// Those that only wait for an event that is quarantined itself are not searched for.
func TestNoSearchForWhatIsHere(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.setRefuse(refuseAll)
		a, _, room, sent := fork(t, n)
		a.receive("b.example", sent[1].JSON(), sent[2].JSON())
		pass(time.Hour)
		list, _, err := a.engine.Quarantine(t.Context(), room, 10)
		if err != nil || len(list) != 2 {
			t.Fatalf("quarantine: %+v, %v", list, err)
		}
		for _, w := range list {
			if want := w.Event == sent[1].ID(); (w.Attempts > 0) != want || (w.Requests > 0) != want {
				t.Errorf("%+v: want a search only for the one whose parent is not here", w)
			}
		}
	})
}

// A quarantined event is given up after 30 days, with a record, and taken in again when it is sent again.
func TestQuarantineEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.setRefuse(refuseAll)
		a, _, _, sent := fork(t, n)
		a.receive("b.example", sent[1].JSON())
		pass(10 * 24 * time.Hour)
		a.receive("b.example", sent[2].JSON())
		pass(19 * 24 * time.Hour)
		a.wantOutcome(sent[1], pdu.Quarantined, "", "")
		pass(2 * 24 * time.Hour)
		a.wantOutcome(sent[1], pdu.Dropped, "P-93", "P-93")
		a.wantOutcome(sent[2], pdu.Quarantined, "", "")
		n.setRefuse(nil)
		pass(2 * time.Hour)
		for _, e := range sent {
			a.wantOutcome(e, pdu.Accepted, "", "")
		}
	})
}

// A server that was down for longer than events are kept looks for what they miss before it gives them up.
func TestQuarantineOutlivesAnOutage(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.setRefuse(refuseAll)
		a, _, _, sent := fork(t, n)
		a.receive("b.example", sent[2].JSON())
		pass(time.Hour)
		a.close()
		time.Sleep(40 * 24 * time.Hour)
		n.setRefuse(nil)
		a.restart()
		pass(time.Minute)
		for _, e := range sent {
			a.wantOutcome(e, pdu.Accepted, "", "")
		}
	})
}

// What was held back for an event that is then given up is an extremity, and what it says is in the current state.
func TestHeldForWhatIsGivenUp(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		join := b.join(room, bob, a)
		n.deliver()
		a.send(room, stateDraft(alice, "m.room.power_levels", `{"users":{"@alice:a.example":100,"@bob:b.example":50}}`))
		n.deliver()
		auth := a.authFor(room, createSlot, levelsSlot, memberOf(bob))
		root := a.stateEvent(room, levelsSlot)
		a.send(room, text(alice, "beside it"))
		n.deliver()
		topic := build(t, room, stateDraft(bob, "m.room.topic", `{"topic":"t"}`), []*event.Event{root}, auth)
		never := build(t, room, text(bob, "never given"), []*event.Event{join}, auth)
		last := build(t, room, text(bob, "last"), []*event.Event{topic, never}, auth)
		refusal := notFound("event", "state_ids", "state")
		n.setRefuse(refusal)
		n.setLie(func(_ ident.ServerName, call transport.Call) string {
			if strings.Contains(call.Path, "/get_missing_events/") {
				return `{"events":[` + string(topic.JSON()) + `]}`
			}
			return ""
		})
		a.receive("b.example", last.JSON())
		pass(time.Minute)
		a.wantOutcome(topic, pdu.Accepted, "", "")
		if got := a.stateEvent(room, topicSlot); got != nil {
			t.Fatal("the topic is not held back: nothing is tested")
		}
		pass(31 * 24 * time.Hour)
		a.wantOutcome(last, pdu.Dropped, "P-93", "P-93")
		if got := a.stateEvent(room, topicSlot); got == nil || got.ID() != topic.ID() {
			t.Errorf("the topic is %v, want %s", got, topic.ID())
		}
	})
}
