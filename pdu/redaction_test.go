// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// redactionOf is a redaction as the room version has it.
func redactionOf(version string, user ident.UserID, target ident.EventID) pdu.Draft {
	d := pdu.Draft{Type: "m.room.redaction", Content: []byte(`{"reason":"because"}`), Sender: user, Redacts: target}
	if v, _ := event.VersionOf(version); v.RedactsInContent {
		d.Content, d.Redacts = fmt.Appendf(nil, `{"reason":"because","redacts":%q}`, target), ""
	}
	return d
}

func (s *server) stored(id ident.EventID) pdu.Stored {
	s.net.t.Helper()
	stored, err := s.engine.Event(s.net.t.Context(), id)
	if err != nil {
		s.net.t.Fatal(err)
	}
	return stored
}

// wantRedacted checks that an event is served as what the redaction algorithm leaves of it (P-62), or whole if by is "".
func (s *server) wantRedacted(original *event.Event, by ident.EventID) {
	s.net.t.Helper()
	got, want := s.stored(original.ID()), original
	if by != "" {
		want = original.Redact()
	}
	if got.RedactedBy != by || string(got.Event.JSON()) != string(want.JSON()) {
		s.net.t.Errorf("%s: %s is redacted by %q, want %q: %s", s.name, original.ID(), got.RedactedBy, by, got.Event.JSON())
	}
}

// A redaction by who has the redact level, or is of the target's server, strips the target everywhere, in the same moment in
// which it is delivered (P-60, P-61, P-62); in room versions 1 and 2 the rules have judged it (P-57).
func TestRedactionTakesEffect(t *testing.T) {
	for _, version := range []string{"1", "2", "3", "10", "11", "12"} {
		t.Run(version, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				a, b, room := n.shared(version)
				byBob, byBobToo := b.send(room, text(bob, "one")), b.send(room, text(bob, "two"))
				n.deliver()
				moderated := a.send(room, redactionOf(version, alice, byBob.ID()))
				own := b.send(room, redactionOf(version, bob, byBobToo.ID()))
				n.deliver()
				for _, s := range []*server{a, b, a.restart()} {
					s.wantRedacted(byBob, moderated.ID())
					s.wantRedacted(byBobToo, own.ID())
					for _, id := range []ident.EventID{moderated.ID(), own.ID()} {
						if !slices.Contains(s.delivered(), id) {
							t.Errorf("%s: redaction %s was not delivered", s.name, id)
						}
					}
				}
				for _, call := range []transport.Call{
					{Method: "GET", Path: transport.Path("_matrix", "federation", "v1", "event", string(byBob.ID()))},
					{Method: "GET", Path: transport.Path("_matrix", "federation", "v1", "backfill", string(room)), Query: url.Values{"v": {string(own.ID())}, "limit": {"50"}}},
				} {
					body, err := a.request(t.Context(), "b.example", call)
					if err != nil || strings.Contains(string(body), `"one"`) || !strings.Contains(string(body), string(byBob.Redact().JSON())) {
						t.Errorf("%s: %s, %v; want the stripped event", call.Path, body, err)
					}
				}
				for _, d := range must(a.engine.Since(t.Context(), 0, 100)) {
					if d.Event.ID() == byBob.ID() && (d.RedactedBy != moderated.ID() || d.Event.Content().Has("body")) {
						t.Errorf("delivered %s, redacted by %q", d.Event.JSON(), d.RedactedBy)
					}
				}
			})
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// What has no effect is in the graph and changes nothing else, and no subscriber hears of it (P-60, P-64).
func TestRedactionWithoutEffect(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room, elsewhere := a.createPublic("10", alice), a.createPublic("10", alice)
		b.join(room, bob, a)
		n.deliver()
		byAlice := a.send(room, text(alice, "stays"))
		apart := a.send(elsewhere, text(alice, "stays too"))
		n.deliver()
		delivered := a.delivered()
		for name, target := range map[string]ident.EventID{
			"without the power": byAlice.ID(), "of another room": apart.ID(), "of nothing": "$nothing", "of an id that is none": "nothing",
		} {
			r := b.send(room, redactionOf("10", bob, target))
			n.deliver()
			if got := a.stored(r.ID()); got.Outcome != pdu.Accepted || got.Outlier || got.Position != 0 {
				t.Errorf("%s: %+v, want it in the graph without a position", name, got)
			}
			if diff := cmp.Diff([]ident.EventID{r.ID()}, a.extremities(room)); diff != "" {
				t.Errorf("%s: extremities: %s", name, diff)
			}
		}
		a.wantRedacted(byAlice, "")
		a.wantRedacted(apart, "")
		if diff := cmp.Diff(delivered, a.delivered()); diff != "" {
			t.Errorf("delivered: %s", diff)
		}
	})
}

// A redacted join still counts (P-32), and redacted power levels still give power: the rules look at what redaction keeps.
func TestRedactedStateStaysInForce(t *testing.T) {
	for _, version := range []string{"9", "12"} {
		inBubble(t, func(t *testing.T, n *network) {
			a, b := n.start("a.example"), n.start("b.example")
			room := a.createPublic(version, alice)
			join := b.join(room, bob, a)
			n.deliver()
			levels := a.send(room, stateDraft(alice, "m.room.power_levels", `{"events":{"m.room.topic":7},"users":{"@bob:b.example":7},"x":1}`))
			n.deliver()
			before := a.state(room)
			for _, target := range []*event.Event{join, levels, a.stateEvent(room, createSlot)} {
				by := b.send(room, redactionOf(version, bob, target.ID())) // no effect but on his own
				if target != join {
					by = a.send(room, redactionOf(version, alice, target.ID()))
				}
				n.deliver()
				want := by.ID()
				if target.Type() == createSlot.Type && version == "9" {
					want = "" // it would lose the room version
				}
				a.wantRedacted(target, want)
				b.wantRedacted(target, want)
			}
			if diff := cmp.Diff(before, a.state(room)); diff != "" {
				t.Errorf("state: %s", diff)
			}
			topic := b.send(room, stateDraft(bob, "m.room.topic", `{"topic":"by power"}`))
			n.deliver()
			a.wantOutcome(topic, pdu.Accepted, "", "")
			c := n.start("c.example")
			c.join(room, carol, a)
			if got := c.stored(join.ID()).Event; string(got.JSON()) != string(join.Redact().JSON()) {
				t.Errorf("version %s: handed to who joins: %s, want the stripped event", version, got.JSON())
			}
		})
	}
}

// The server ACL that a room is kept by is what its event says now.
func TestRedactedACL(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.start("a.example")
		room := a.createPublic("12", alice)
		list := a.send(room, stateDraft(alice, "m.room.server_acl", `{"allow":["*"]}`))
		if err := a.engine.CheckAccess(t.Context(), room, "b.example"); err != nil {
			t.Fatal(err)
		}
		a.send(room, redactionOf("12", alice, list.ID()))
		if err := a.engine.CheckAccess(t.Context(), room, "b.example"); errcode(err) != "403 M_FORBIDDEN" {
			t.Errorf("an ACL without allow lets nobody in (M-91), got %v", err)
		}
	})
}

// A rejected or soft-failed redaction has no effect; a soft-failed target is stripped, a rejected one is not.
func TestRedactionsAndVerdicts(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, room := n.shared("11")
		byBob := b.send(room, text(bob, "x"))
		n.deliver()
		auth := b.authFor(room, createSlot, levelsSlot, memberOf(bob))
		rejected := build(t, room, stateDraft(bob, "m.room.topic", `{"topic":"x"}`), []*event.Event{byBob}, auth)
		a.receive("b.example", rejected.JSON())
		a.wantOutcome(rejected, pdu.Rejected, "P-27", "P-54")
		a.send(room, member(alice, bob, "ban"))
		n.hold()
		soft := build(t, room, text(bob, "y"), []*event.Event{byBob}, auth)
		late := build(t, room, redactionOf("11", bob, byBob.ID()), []*event.Event{byBob}, auth)
		a.receive("b.example", soft.JSON(), late.JSON())
		a.wantOutcome(soft, pdu.SoftFailed, "P-29", "")
		a.wantOutcome(late, pdu.SoftFailed, "P-29", "")
		a.wantRedacted(byBob, "")

		by := a.send(room, redactionOf("11", alice, soft.ID()))
		a.wantRedacted(soft, by.ID())
		none := a.send(room, redactionOf("11", alice, rejected.ID()))
		a.wantRedacted(rejected, "")
		delivered := a.delivered()
		if !slices.Contains(delivered, by.ID()) || slices.Contains(delivered, none.ID()) || slices.Contains(delivered, late.ID()) {
			t.Errorf("delivered %v, want %s, not %s, not %s", delivered, by.ID(), none.ID(), late.ID())
		}
	})
}

// redactionPlan is events that redact each other in every way, each after its parents.
type redactionPlan struct {
	events    []*event.Event
	redacted  map[ident.EventID]bool // by the rules of P-60 to P-64
	delivered map[ident.EventID]bool // redactions that have an effect
}

// What is redacted, and which redactions are delivered, does not depend on the order in which events arrive.
func TestRedactionsInAnyOrder(t *testing.T) {
	seeds := 24
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		version := []string{"2", "3", "10", "11", "12"}[seed%5]
		t.Run(fmt.Sprintf("seed %d, version %s", seed, version), func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				random := rand.New(rand.NewPCG(uint64(seed), 1))
				a := n.start("a.example")
				room := a.createPublic(version, alice)
				for _, user := range []ident.UserID{bob, carol} {
					n.start(user.Server()).join(room, user, a)
					n.deliver()
				}
				plan := planRedactions(t, random, version, room, a)
				n.mu.Lock()
				n.refuse = func(ident.ServerName, ident.ServerName, transport.Call) error { return fmt.Errorf("no answer") }
				n.mu.Unlock()
				for _, s := range []*server{a, n.servers["b.example"], n.servers["c.example"]} {
					arriveInAnyOrder(random, s, plan.events)
					plan.check(t, s)
					plan.check(t, s.restart())
				}
			})
		})
	}
}

// planRedactions makes messages and redactions on a random graph. Alice may redact everything, the others what is of their
// server; a redaction may name what comes later, which no id allows that is a hash: those of version 2 are chosen.
func planRedactions(t *testing.T, random *rand.Rand, version string, room ident.RoomID, a *server) redactionPlan {
	users := []ident.UserID{alice, bob, carol}
	plan := redactionPlan{redacted: map[ident.EventID]bool{}, delivered: map[ident.EventID]bool{}}
	parents := []*event.Event{a.stateEvent(room, memberOf(carol))}
	slots := []event.StateKey{createSlot, levelsSlot}
	if version == "12" {
		slots = slots[1:]
	}
	for i := range 24 {
		user := users[random.IntN(len(users))]
		auth := a.authFor(room, append(slices.Clone(slots), memberOf(user))...)
		on := []*event.Event{parents[random.IntN(len(parents))]}
		if i < 6 || random.IntN(3) == 0 {
			e := build(t, room, text(user, fmt.Sprint(i)), on, auth)
			plan.events, parents = append(plan.events, e), append(parents, e)
			continue
		}
		target := plan.events[random.IntN(len(plan.events))]
		allowed := user == alice || user.Server() == target.Sender().Server()
		if version == "2" && !allowed {
			continue // refused by the rules
		}
		e := build(t, room, redactionOf(version, user, target.ID()), on, auth)
		plan.events, parents = append(plan.events, e), append(parents, e)
		if allowed {
			plan.redacted[target.ID()], plan.delivered[e.ID()] = true, true
		}
	}
	return plan
}

func arriveInAnyOrder(random *rand.Rand, s *server, events []*event.Event) {
	events = slices.Clone(events)
	random.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	for len(events) > 0 {
		count := 1 + random.IntN(min(5, len(events)))
		var pdus [][]byte
		for _, e := range events[:count] {
			pdus = append(pdus, e.JSON())
		}
		events = events[count:]
		s.receive("a.example", pdus...)
		if random.IntN(8) == 0 {
			s.restart()
			synctest.Wait()
		}
	}
	synctest.Wait()
}

func (p redactionPlan) check(t *testing.T, s *server) {
	t.Helper()
	delivered := s.delivered()
	for _, e := range p.events {
		want := string(e.JSON())
		if p.redacted[e.ID()] {
			want = string(e.Redact().JSON())
		}
		got := s.stored(e.ID())
		if got.Outcome != pdu.Accepted || string(got.Event.JSON()) != want || (got.RedactedBy != "") != p.redacted[e.ID()] {
			t.Errorf("%s: %s is %v, redacted by %q, want redacted: %v", s.name, e.JSON(), got.Outcome, got.RedactedBy, p.redacted[e.ID()])
		}
		isRedaction := e.Type() == "m.room.redaction"
		if got := slices.Contains(delivered, e.ID()); got != (!isRedaction || p.delivered[e.ID()]) {
			t.Errorf("%s: %s was delivered: %v", s.name, e.JSON(), got)
		}
	}
}

// A crash at any commit point leaves a target and its redaction as they were, or both as they will be.
func TestCrashWhileRedacting(t *testing.T) {
	const points = 8
	for nth := range points {
		inBubble(t, func(t *testing.T, n *network) {
			a, b, room := n.shared("12")
			target := b.send(room, text(bob, "x"))
			by := b.send(room, redactionOf("12", bob, target.ID()))
			n.hold()
			apart := build(t, room, text(bob, "elsewhere"), []*event.Event{b.stateEvent(room, memberOf(bob))}, b.authFor(room, levelsSlot, memberOf(bob)))
			ofApart := a.send(room, redactionOf("12", alice, apart.ID())) // held back for what comes now
			n.hold()
			a.crashAt(nth)
			pdus := [][]byte{by.JSON(), apart.JSON(), target.JSON()}
			_, err := a.tryReceive("b.example", pdus...)
			synctest.Wait()
			a.restart()
			synctest.Wait()
			if err != nil {
				a.receive("b.example", pdus...)
			}
			a.wantRedacted(target, by.ID())
			a.wantRedacted(apart, ofApart.ID())
			if got := a.delivered(); !slices.Contains(got, by.ID()) || !slices.Contains(got, ofApart.ID()) {
				t.Errorf("crash point %d: delivered %v, want both redactions", nth, got)
			}
		})
	}
}

// An event that is known only because another rests on it is stripped like any other: its place in the graph may never be known.
func TestRedactedOutlier(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("10", alice)
		join := b.join(room, bob, a)
		n.deliver()
		top := a.send(room, text(alice, "top"))
		n.hold()
		auth := b.authFor(room, createSlot, levelsSlot, memberOf(bob))
		unknown := build(t, room, text(bob, "not to be had"), []*event.Event{top}, auth)
		draft := member(bob, bob, "join")
		draft.Content = []byte(`{"displayname":"Bob","membership":"join"}`)
		profile := build(t, room, draft, []*event.Event{unknown}, append(slices.Clone(auth), b.stateEvent(room, rulesSlot)))
		rests := build(t, room, text(bob, "rests on it"), []*event.Event{join}, []*event.Event{auth[0], auth[1], profile})
		n.mu.Lock()
		n.refuse = func(_, _ ident.ServerName, call transport.Call) error {
			if strings.HasSuffix(call.Path, url.PathEscape(string(profile.ID()))) {
				return nil
			}
			return errPower
		}
		n.lie = func(ident.ServerName, transport.Call) string { return fmt.Sprintf(`{"pdus":[%s]}`, profile.JSON()) }
		n.mu.Unlock()
		a.receive("b.example", rests.JSON())
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := a.stored(profile.ID()); !got.Outlier || got.Outcome != pdu.Accepted {
			t.Fatalf("the profile is %+v, want an accepted outlier", got)
		}
		by := a.send(room, redactionOf("10", alice, profile.ID()))
		a.wantRedacted(profile, by.ID())
		n.mu.Lock()
		defer n.mu.Unlock()
		want := trace.PDURedacted{Room: string(room), Event: string(profile.ID()), By: string(by.ID()), Position: int64(a.stored(by.ID()).Position)}
		if !slices.ContainsFunc(a.traced, func(e trace.Event) bool { return e == trace.Event(want) }) {
			t.Error("no trace of the redaction")
		}
	})
}

// A redaction that soft-failed takes effect when it is judged again and accepted; so does one of a target that is.
func TestRedactionJudgedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, room := n.shared("11")
		byBob := b.send(room, text(bob, "x"))
		n.deliver()
		auth := b.authFor(room, createSlot, levelsSlot, memberOf(bob))
		a.send(room, member(alice, bob, "ban"))
		late := build(t, room, redactionOf("11", bob, byBob.ID()), []*event.Event{byBob}, auth)
		a.receive("b.example", late.JSON())
		a.wantOutcome(late, pdu.SoftFailed, "P-29", "")
		a.wantRedacted(byBob, "")

		a.send(room, member(alice, bob, "leave"))
		n.hold()
		rejoin := build(t, room, member(bob, bob, "join"), []*event.Event{a.stateEvent(room, memberOf(bob))},
			a.authFor(room, createSlot, levelsSlot, memberOf(bob), rulesSlot))
		a.receive("b.example", rejoin.JSON())
		if v, err := a.engine.JudgeAgain(t.Context(), late.ID()); err != nil || v.Outcome != pdu.Accepted || v.Judgements != 2 {
			t.Fatalf("judged again: %+v, %v", v, err)
		}
		a.wantRedacted(byBob, late.ID())
		if !slices.Contains(a.delivered(), late.ID()) {
			t.Error("the redaction was not delivered")
		}
		a.restart().wantRedacted(byBob, late.ID())
	})
}
