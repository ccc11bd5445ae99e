// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// The history from before a join is fetched back to the beginning, in several pieces and over a restart. None of it is delivered, and
// none of it changes what the room is now; the state at each of its events is what the other server has there (P-37, P-85).
func TestBackfillBeforeTheJoin(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		var sent []ident.EventID
		for k := range 150 {
			sent = append(sent, a.send(room, text(alice, fmt.Sprint(k))).ID())
			if k%50 == 0 {
				sent = append(sent, a.send(room, stateDraft(alice, "m.room.topic", fmt.Sprintf(`{"topic":"%d"}`, k))).ID())
			}
		}
		b.join(room, bob, a)
		n.deliver()
		extremities, state, delivered := b.extremities(room), b.state(room), b.delivered()
		first, err := b.engine.Backfill(t.Context(), room, 50)
		if err != nil || first.Found != 100 || len(first.Gaps) != 1 {
			t.Fatalf("first piece: %+v, %v; want 100 events and one gap before them", first, err)
		}
		b.restart()
		all, err := b.engine.Backfill(t.Context(), room, 1_000)
		if err != nil || len(all.Gaps) != 0 || all.Total != all.Found+first.Found || all.Server != "a.example" {
			t.Fatalf("the rest: %+v, %v; want no gaps", all, err)
		}
		for _, id := range sent {
			got, err := b.engine.Event(t.Context(), id)
			if err != nil || got.Outlier || got.Outcome != pdu.Accepted || got.Position != 0 {
				t.Fatalf("%s is %+v, %v: want it in the graph, and without a position", id, got, err)
			}
			if diff := cmp.Diff(a.stateAt(id), b.stateAt(id)); diff != "" {
				t.Fatalf("state at %s: %s", id, diff)
			}
		}
		if diff := cmp.Diff(extremities, b.extremities(room)); diff != "" {
			t.Errorf("extremities: %s", diff)
		}
		if diff := cmp.Diff(state, b.state(room)); diff != "" {
			t.Errorf("state: %s", diff)
		}
		if diff := cmp.Diff(delivered, b.delivered()); diff != "" {
			t.Errorf("delivered: %s", diff)
		}
		if again, err := b.engine.Backfill(t.Context(), room, 1_000); err != nil || again.Found != 0 || again.Requests != all.Requests {
			t.Errorf("once more: %+v, %v; want nothing asked", again, err)
		}
	})
}

// stateAt is the state before an event, as a set of ids.
func (s *server) stateAt(id ident.EventID) map[ident.EventID]bool {
	s.net.t.Helper()
	events, err := s.engine.StateAt(s.net.t.Context(), id)
	if err != nil {
		s.net.t.Fatal(err)
	}
	set := map[ident.EventID]bool{}
	for _, e := range events {
		set[e.ID()] = true
	}
	return set
}

// Events that do not connect to what was asked for are not taken in, nor are forged ones, and the progress says so.
func TestBackfillOfWhatWasNotAskedFor(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		asked := a.send(room, text(alice, "before the join"))
		b.join(room, bob, a)
		n.deliver()
		later := a.send(room, text(alice, "later"))
		n.hold()
		stray := a.stateEvent(a.createPublic("10", alice), rulesSlot)
		forged := strings.Replace(string(asked.JSON()), `"ed25519:1":"`, `"ed25519:1":"AAAA`, 1)
		for _, answer := range []string{
			`{}`, `[]`, `{"pdus":7}`, `{"pdus":[null,7,{}]}`, `{"pdus":[` + string(later.JSON()) + `]}`,
			`{"pdus":[` + string(stray.JSON()) + `]}`, `{"pdus":[` + forged + `]}`,
		} {
			n.setLie(func(_ ident.ServerName, call transport.Call) string {
				if strings.Contains(call.Path, "/backfill/") {
					return answer
				}
				return ""
			})
			p, err := b.engine.Backfill(t.Context(), room, 10)
			if err != nil || p.Found != 0 || len(p.Gaps) != 1 || p.Note == "" {
				t.Errorf("%.60s: %+v, %v; want nothing found, and why", answer, p, err)
			}
			for _, id := range []ident.EventID{asked.ID(), later.ID()} {
				if got, err := b.engine.Event(t.Context(), id); err == nil {
					t.Errorf("%.60s: %+v was stored", answer, got)
				}
			}
		}
	})
}

// What a gap of ours leaves out is fetched as history, and the extremity that it follows is one no longer.
func TestBackfillOfAGap(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, room, topic, message, last := stranded(t, n)
		a.receive("b.example", last.JSON())
		pass(2 * time.Minute)
		a.wantOutcome(last, pdu.Accepted, "", "")
		if got := a.extremities(room); len(got) != 2 {
			t.Fatalf("extremities %v, want two: what is between them is missing", got)
		}
		p, err := a.engine.Backfill(t.Context(), room, 10)
		if err != nil || len(p.Gaps) != 0 || p.Found != 2 {
			t.Fatalf("backfill: %+v, %v", p, err)
		}
		if diff := cmp.Diff([]ident.EventID{last.ID()}, a.extremities(room)); diff != "" {
			t.Errorf("extremities: %s", diff)
		}
		for _, id := range []ident.EventID{topic.ID(), message.ID()} {
			if got, err := a.engine.Event(t.Context(), id); err != nil || got.Outlier || got.Position != 0 {
				t.Errorf("%s is %+v, %v: want it in the graph, and without a position", id, got, err)
			}
		}
	})
}

// What was sent to us and waits for its parents is delivered when backfill brings those; it does not become history itself, nor an
// extremity, though it be in the states that come with that.
func TestBackfillLeavesWhatWasSentToUs(t *testing.T) {
	for _, draft := range []pdu.Draft{text(bob, "sent to us"), stateDraft(bob, "m.room.topic", `{"topic":"sent to us"}`)} {
		t.Run(draft.Type, func(t *testing.T) { inBubble(t, func(t *testing.T, n *network) { backfillBehind(t, n, draft) }) })
	}
}

func backfillBehind(t *testing.T, n *network, draft pdu.Draft) {
	t.Helper()
	a, b, c := n.start("a.example"), n.start("b.example"), n.start("c.example")
	room := a.createPublic("10", alice)
	a.send(room, stateDraft(alice, "m.room.power_levels", `{"users":{"@alice:a.example":100},"state_default":0}`))
	for _, other := range []struct {
		*server
		user ident.UserID
	}{{b, bob}, {c, carol}} {
		other.join(room, other.user, a)
		n.deliver()
	}
	root := b.send(room, text(bob, "root"))
	auth := a.authFor(room, createSlot, levelsSlot, memberOf(bob))
	sent := build(t, room, draft, []*event.Event{root}, auth)
	kept := build(t, room, text(bob, "kept from us"), []*event.Event{root, sent}, auth)
	last := build(t, room, text(bob, "last"), []*event.Event{sent, kept}, auth)
	n.hold()
	for _, other := range []*server{b, c} {
		other.receive("b.example", root.JSON(), sent.JSON(), kept.JSON(), last.JSON())
	}
	refusal := notFound("event", "get_missing_events")
	n.setRefuse(func(from, to ident.ServerName, call transport.Call) error {
		if call.Query.Get("event_id") == string(sent.ID()) {
			return refusal(from, to, transport.Call{Path: "/event/"})
		}
		return refusal(from, to, call)
	})
	a.receive("b.example", sent.JSON(), last.JSON())
	pass(2 * time.Minute)
	a.wantOutcome(sent, pdu.Quarantined, "", "")
	a.wantOutcome(last, pdu.Accepted, "", "")
	p, err := a.engine.Backfill(t.Context(), room, 10)
	pass(time.Second)
	if err != nil || p.Found != 2 {
		t.Errorf("backfill: %+v, %v; want the two events that were kept from us", p, err)
	}
	a.wantOutcome(sent, pdu.Accepted, "", "")
	delivered := a.delivered()
	if !slices.Contains(delivered, sent.ID()) || slices.Contains(delivered, kept.ID()) {
		t.Errorf("delivered %v: want %s, which was sent to us, and not %s, which is history", delivered, sent.ID(), kept.ID())
	}
	if diff := cmp.Diff([]ident.EventID{last.ID()}, a.extremities(room)); diff != "" {
		t.Errorf("extremities: %s", diff)
	}
}

// A state event that was sent to us, and of which nothing could be judged, is in the state that comes with a join: when its place is
// found, it is delivered all the same, and no extremity, since others follow it.
func TestSentToUsAndInTheStateOfAJoin(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := b.createPublic("10", bob)
		a.join(room, alice, b)
		n.deliver()
		n.setRefuse(refuseAll)
		profile := b.send(room, pdu.Draft{
			Type: "m.room.member", StateKey: key(string(bob)), Content: []byte(`{"membership":"join","displayname":"Bob"}`), Sender: bob,
		})
		topic := b.send(room, stateDraft(bob, "m.room.topic", `{"topic":"t"}`))
		b.send(room, text(bob, "after it"))
		n.hold()
		a.receive("b.example", topic.JSON())
		a.wantOutcome(topic, pdu.Quarantined, "", "")
		a.send(room, member(alice, alice, "leave"))
		n.deliver()
		n.setRefuse(nil)
		join := a.join(room, alice, b)
		n.deliver()
		if _, err := a.engine.Backfill(t.Context(), room, 10); err != nil {
			t.Fatal(err)
		}
		pass(2 * time.Minute)
		a.wantOutcome(topic, pdu.Accepted, "", "")
		if got := a.stored(profile.ID()); got.Outlier || got.Position != 0 {
			t.Errorf("bob's profile is %+v, want it in the graph, as history", got)
		}
		if delivered := a.delivered(); !slices.Contains(delivered, topic.ID()) {
			t.Errorf("delivered %v, want %s too", delivered, topic.ID())
		}
		if diff := cmp.Diff([]ident.EventID{join.ID()}, a.extremities(room)); diff != "" {
			t.Errorf("extremities: %s", diff)
		}
	})
}

// History is not judged by the present (P-37): who has left since was there then.
func TestHistoryOfOneWhoLeft(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, c := n.start("a.example"), n.start("b.example"), n.start("c.example")
		room := a.createPublic("10", alice)
		c.join(room, carol, a)
		n.deliver()
		said := c.send(room, text(carol, "goodbye"))
		n.deliver()
		c.send(room, member(carol, carol, "leave"))
		n.deliver()
		b.join(room, bob, a)
		n.deliver()
		if _, err := b.engine.Backfill(t.Context(), room, 50); err != nil {
			t.Fatal(err)
		}
		b.wantOutcome(said, pdu.Accepted, "", "")
	})
}

// Parents that a liar has made up, and that nobody has, do not keep the true history from being fetched.
func TestBackfillBeyondMadeUpGaps(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, room, topic, message, last := stranded(t, n)
		liar := event.Proto{
			RoomID: room, Sender: mal, Type: "m.room.message", Content: []byte(`{}`), OriginServerTS: time.Now().UnixMilli(), Depth: 20,
		}
		m := n.start("m.example")
		n.setRefuse(nil)
		m.join(room, mal, a)
		n.deliver()
		after := a.send(room, text(alice, "after the join"))
		n.deliver()
		n.setRefuse(notFound("event", "get_missing_events"))
		for _, x := range a.authFor(room, createSlot, levelsSlot, memberOf(mal)) {
			liar.AuthEvents = append(liar.AuthEvents, x.Ref())
		}
		for k := range 20 {
			liar.PrevEvents = append(liar.PrevEvents, event.Ref{ID: ident.EventID(fmt.Sprintf("$AA%041d", k))})
		}
		made, err := event.Build(last.Version(), liar, "m.example", keyOf("m.example"))
		if err != nil {
			t.Fatal(err)
		}
		n.setLie(func(to ident.ServerName, call transport.Call) string {
			if call.Query.Get("event_id") != string(made.ID()) {
				return ""
			}
			call.Query.Set("event_id", string(after.ID()))
			body, err := n.servers["c.example"].request(t.Context(), "a.example", call)
			if err != nil {
				t.Error(err)
			}
			return string(body)
		})
		a.receive("m.example", made.JSON())
		pass(2 * time.Minute)
		a.wantOutcome(made, pdu.Accepted, "", "")
		a.receive("b.example", last.JSON())
		pass(2 * time.Minute)
		a.wantOutcome(last, pdu.Accepted, "", "")
		a.restart()
		p, err := a.engine.Backfill(t.Context(), room, 10)
		if err != nil || p.Found != 2 || len(p.Gaps) != 20 {
			t.Errorf("backfill: %+v, %v; want two events", p, err)
		}
		for _, x := range []*event.Event{topic, message} {
			if got, err := a.engine.Event(t.Context(), x.ID()); err != nil || got.Outlier {
				t.Errorf("%s is %+v, %v: want it in the graph", x.ID(), got, err)
			}
		}
	})
}
