// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"errors"
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

func refuseAll(_, _ ident.ServerName, _ transport.Call) error {
	return &transport.Failure{Class: transport.ClassDial, Err: errors.New("down")}
}

func (n *network) setRefuse(f func(from, to ident.ServerName, call transport.Call) error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refuse = f
}

func (n *network) requests() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.asked)
}

// fork has b send three events of which a gets only the last.
func fork(t *testing.T, n *network) (a, b *server, room ident.RoomID, sent []*event.Event) {
	t.Helper()
	a, b = n.start("a.example"), n.start("b.example")
	room = a.createPublic("10", alice)
	b.join(room, bob, a)
	n.deliver()
	for _, body := range []string{"1", "2", "3"} {
		sent = append(sent, b.send(room, text(bob, body)))
	}
	n.hold()
	return a, b, room, sent
}

// An event whose parent is missing is kept, visibly, and judged when the parent arrives from anywhere; it is never dropped.
func TestQuarantineClosesWhenTheParentArrives(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.setRefuse(refuseAll)
		a, _, room, sent := fork(t, n)
		a.receive("b.example", sent[2].JSON())
		a.wantOutcome(sent[2], pdu.Quarantined, "", "")
		v, _, err := a.engine.Verdict(t.Context(), sent[2].ID())
		if err != nil || !slices.Equal(v.Waits, []ident.EventID{sent[1].ID()}) {
			t.Errorf("it waits for %v, %v, want %s", v.Waits, err, sent[1].ID())
		}
		before := a.delivered()
		a.receive("c.example", sent[1].JSON())
		a.wantOutcome(sent[1], pdu.Quarantined, "", "")
		a.restart() // durable
		a.receive("c.example", sent[0].JSON())
		for _, e := range sent {
			a.wantOutcome(e, pdu.Accepted, "", "")
		}
		want := append(before, sent[0].ID(), sent[1].ID(), sent[2].ID())
		if diff := cmp.Diff(want, a.delivered()); diff != "" {
			t.Errorf("delivered: %s", diff)
		}
		if diff := cmp.Diff([]ident.EventID{sent[2].ID()}, a.extremities(room)); diff != "" {
			t.Errorf("extremities: %s", diff)
		}
	})
}

// The origin is asked for the events in between.
func TestGapIsClosedByTheOrigin(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, _, sent := fork(t, n)
		a.receive("b.example", sent[2].JSON())
		for _, e := range sent {
			a.wantOutcome(e, pdu.Accepted, "", "")
		}
		requests := n.requests()
		if len(requests) != 1 || !strings.HasPrefix(requests[0], "a.example b.example POST /_matrix/federation/v1/get_missing_events/") {
			t.Errorf("requests %q, want one get_missing_events to the origin", requests)
		}
	})
}

// When the origin is of no help, another server of the room is asked; if nobody answers, again later, and after a restart.
func TestGapIsClosedByAnotherServerLater(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		c := n.start("c.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		c.join(room, carol, a)
		n.deliver()
		first := b.send(room, text(bob, "1"))
		c.receive("b.example", first.JSON())
		second := b.send(room, text(bob, "2"))
		n.hold()
		n.setRefuse(refuseAll)
		begun := time.Now()
		a.receive("b.example", second.JSON())
		a.wantOutcome(second, pdu.Quarantined, "", "")
		asked := len(n.requests())
		if asked == 0 {
			t.Fatal("nobody was asked")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if more := len(n.requests()); more <= asked || more > asked*12 {
			t.Errorf("%d requests at once and %d in an hour: want more, growing apart", asked, more-asked)
		}
		a.restart()
		n.setRefuse(func(_, to ident.ServerName, _ transport.Call) error {
			if to == "b.example" {
				return errors.New("down")
			}
			return nil
		})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		a.wantOutcome(second, pdu.Accepted, "", "")
		a.wantOutcome(first, pdu.Accepted, "", "")
		if v, found, err := a.engine.Verdict(t.Context(), second.ID()); err != nil || !found || v.JudgedAt < begun.Add(time.Hour).UnixMilli() {
			t.Errorf("record %+v, %v, %v: want how the quarantine ended", v, found, err)
		}
	})
}

// A missing auth event is fetched by its id, and is known by its own auth events while its place in the graph is not.
func TestMissingAuthEventIsFetched(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		// b learns of a new power levels event that a never gets; then sends a message that rests on it but follows what a has.
		top := a.stateEvent(room, memberOf(bob))
		levels := build(t, room, stateDraft(alice, "m.room.power_levels", `{"users":{"@alice:a.example":100,"@bob:b.example":50}}`),
			[]*event.Event{top}, a.authFor(room, createSlot, levelsSlot, memberOf(alice)))
		b.receive("a.example", levels.JSON())
		b.wantOutcome(levels, pdu.Accepted, "", "")
		message := build(t, room, text(bob, "x"), []*event.Event{top}, []*event.Event{b.stateEvent(room, createSlot), levels, top})
		a.receive("b.example", message.JSON())
		a.wantOutcome(message, pdu.Accepted, "", "")
		stored, err := a.engine.Event(t.Context(), levels.ID())
		if err != nil || !stored.Outlier || stored.Outcome != pdu.Accepted || stored.Position != 0 {
			t.Errorf("auth event: %+v, %v; want an accepted outlier without a position", stored, err)
		}
		// Wanted as a parent, it gets its place, and is delivered; it is here, so nobody is asked for it.
		asked := len(n.requests())
		child := build(t, room, text(bob, "y"), []*event.Event{levels}, []*event.Event{b.stateEvent(room, createSlot), levels, top})
		a.receive("b.example", child.JSON())
		a.wantOutcome(child, pdu.Accepted, "", "")
		if more := n.requests()[asked:]; len(more) != 0 {
			t.Errorf("requests for what is here: %q", more)
		}
		stored, err = a.engine.Event(t.Context(), levels.ID())
		if err != nil || stored.Outlier || stored.Position == 0 {
			t.Errorf("auth event that became a parent: %+v, %v; want it in the graph with a position", stored, err)
		}
		if got := a.stateEvent(room, levelsSlot).ID(); got != levels.ID() {
			t.Errorf("power levels are %s, want %s", got, levels.ID())
		}
	})
}

// A server that joined knows nothing from before its join. A fork from before it is walked back to what is known.
func TestForkFromBeforeTheJoin(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		old := a.send(room, text(alice, "before the join"))
		auth := a.authFor(room, createSlot, levelsSlot, memberOf(alice))
		join := b.join(room, bob, a)
		n.deliver()
		branch := build(t, room, text(alice, "beside the join"), []*event.Event{old}, auth)
		a.receive("a.example", branch.JSON())
		b.receive("a.example", branch.JSON())
		b.wantOutcome(branch, pdu.Accepted, "", "")
		want := []ident.EventID{branch.ID(), join.ID()}
		slices.Sort(want)
		if diff := cmp.Diff(want, b.extremities(room)); diff != "" {
			t.Errorf("extremities: %s", diff)
		}
		if diff := cmp.Diff(a.state(room), b.state(room)); diff != "" {
			t.Errorf("state: %s", diff)
		}
		if slices.Contains(b.delivered(), a.stateEvent(room, memberOf(alice)).ID()) {
			t.Error("state from before the join was delivered")
		}
	})
}

// What another server answers is checked like anything that arrives (P-91), and only what was asked for is looked at.
func TestAnswersThatWereNotAskedFor(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, _, sent := fork(t, n)
		stray := a.stateEvent(a.createPublic("10", alice), rulesSlot)
		forged := strings.Replace(string(sent[1].JSON()), `"ed25519:1":"`, `"ed25519:1":"AAAA`, 1)
		for _, answer := range []string{
			`{}`, `[]`, `{"events":null,"pdus":7}`, `{"events":[null,7,{},"x"],"pdus":[null]}`,
			`{"events":[` + string(stray.JSON()) + `],"pdus":[` + string(stray.JSON()) + `]}`,
			`{"events":[` + forged + `],"pdus":[` + forged + `]}`,
			`{"events":[` + strings.Repeat(string(sent[2].JSON())+",", 1000) + `{}]}`,
		} {
			n.mu.Lock()
			n.lie = func(ident.ServerName, transport.Call) string { return answer }
			n.mu.Unlock()
			a.receive("b.example", sent[2].JSON())
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			a.wantOutcome(sent[2], pdu.Quarantined, "", "")
		}
		n.mu.Lock()
		n.lie = nil
		n.mu.Unlock()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		a.wantOutcome(sent[2], pdu.Accepted, "", "")
	})
}
