// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matrix-org/gomatrixserverlib/spec"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// policyServer stands in for what p.example answers to /sign.
type policyServer struct {
	key   signing.Key
	asked atomic.Int64
	fault func(e *event.Event) error // of a request, nil to sign
}

func newPolicyServer(t *testing.T, n *network) *policyServer {
	t.Helper()
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, "a policy server")
	key, err := signing.NewKey("ed25519:policy_server", seed)
	if err != nil {
		t.Fatal(err)
	}
	p := &policyServer{key: key, fault: func(*event.Event) error { return nil }}
	v, _ := event.VersionOf("11")
	parse := func(call transport.Call) *event.Event {
		e, err := event.Parse(v, call.Body)
		if err != nil {
			t.Errorf("E-36: asked about %q: %v", call.Body, err)
		}
		return e
	}
	n.refuse = func(_, to ident.ServerName, call transport.Call) error {
		if call.Path != "/_matrix/policy/v1/sign" {
			return nil
		}
		if to != "p.example" || call.Method != http.MethodPost {
			t.Errorf("E-36: %s %s of %s", call.Method, call.Path, to)
		}
		p.asked.Add(1)
		return p.fault(parse(call))
	}
	n.lie = func(_ ident.ServerName, call transport.Call) string {
		if call.Path != "/_matrix/policy/v1/sign" {
			return ""
		}
		return fmt.Sprintf(`{"p.example":{"ed25519:policy_server":%q}}`, p.signature(t, parse(call)))
	}
	return p
}

func (p *policyServer) signature(t *testing.T, e *event.Event) string {
	t.Helper()
	signed, err := signing.SignJSON(e.Redact().JSON(), "p.example", p.key)
	if err != nil {
		t.Fatal(err)
	}
	found, err := canonicaljson.Parse(signed, canonicaljson.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := found.Get("signatures").Get("p.example").Get("ed25519:policy_server").Text()
	return text
}

func (p *policyServer) content() string {
	return fmt.Sprintf(`{"via":"p.example","public_keys":{"ed25519":%q}}`, signing.EncodeBase64(p.key.Public()))
}

var errForbidden = &transport.Failure{Class: transport.Class4xxContent, Status: http.StatusBadRequest, Code: spec.ErrorForbidden, Message: "no spam"}

// policed is a room of version 11 with users of a, b and p in it, and p as its policy server.
func policed(t *testing.T, n *network) (a, b *server, p *policyServer, room ident.RoomID) {
	t.Helper()
	a, b = n.start("a.example"), n.start("b.example")
	room = a.createPublic("11", alice)
	b.join(room, bob, a)
	n.deliver()
	p = newPolicyServer(t, n)
	a.send(room, stateDraft(alice, "m.room.policy", p.content()))
	early := a.send(room, text(alice, "nobody of the policy server is in the room yet"))
	n.deliver()
	if p.asked.Load() != 0 {
		t.Error("M-100: asked, though via has no joined user; or about the event that names it")
	}
	b.wantOutcome(early, pdu.Accepted, "", "")
	pete := ident.UserID("@pete:p.example")
	join := build(t, room, member(pete, pete, "join"), []*event.Event{early}, a.authFor(room, createSlot, levelsSlot, rulesSlot))
	a.receive("p.example", join.JSON())
	b.receive("p.example", join.JSON())
	a.wantOutcome(join, pdu.Accepted, "", "")
	return a, b, p, room
}

func signedByPolicy(e *event.Event) bool {
	return e.Signatures().Get("p.example").Has("ed25519:policy_server") && e.Signatures().Get(string(e.Sender().Server())).Has("ed25519:1")
}

// M-101, M-103: own events, messages and state alike, are signed by the policy server before they are stored and sent; those who get
// them need not ask.
func TestPolicyServerSignsOwnEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, p, room := policed(t, n)
		for _, d := range []pdu.Draft{text(alice, "hello"), stateDraft(alice, "m.room.topic", `{"topic":"x"}`)} {
			before := p.asked.Load()
			sent := a.send(room, d)
			if !signedByPolicy(sent) || !signedByPolicy(a.stored(sent.ID()).Event) {
				t.Errorf("%s: signatures %s", d.Type, sent.Signatures().Canonical())
			}
			n.deliver()
			b.wantOutcome(sent, pdu.Accepted, "", "")
			if asked := p.asked.Load() - before; asked != 1 {
				t.Errorf("%s: asked %d times, want once, by the sender", d.Type, asked)
			}
		}
		// The room can always change its policy server, even one that refuses everything.
		p.fault = func(*event.Event) error { return errForbidden }
		a.send(room, stateDraft(alice, "m.room.policy", `{}`))
		a.send(room, text(alice, "free"))
		n.deliver()
	})
}

// M-104: a refusal is given to the sender in the policy server's words, and nothing is stored or sent. One that cannot be reached is
// told apart.
func TestPolicyServerRefusesOwnEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, p, room := policed(t, n)
		before := a.delivered()
		p.fault = func(*event.Event) error { return errForbidden }
		_, err := a.engine.Send(t.Context(), room, text(alice, "spam"))
		var refused *pdu.PolicyError
		if !errors.As(err, &refused) || !refused.Refused || refused.Code != spec.ErrorForbidden || refused.Message != "no spam" || refused.Status != 400 {
			t.Errorf("refused: %+v", err)
		}
		for _, fault := range []error{
			&transport.Failure{Class: transport.ClassTimeout},
			&transport.Failure{Class: transport.Class4xxContent, Status: 404, Code: spec.ErrorUnrecognized},
			&transport.Failure{Class: transport.Class429, Status: 429, Code: spec.ErrorLimitExceeded},
			&transport.Failure{Class: transport.Class5xx, Status: 502},
		} {
			p.fault = func(*event.Event) error { return fault }
			if _, err = a.engine.Send(t.Context(), room, text(alice, "x")); !errors.As(err, &refused) || refused.Refused {
				t.Errorf("%v: %+v", fault, err)
			}
		}
		if got := a.delivered(); !slices.Equal(got, before) || len(n.hold()) != 0 {
			t.Error("something was stored or sent")
		}
		// What the rules of the room refuse is not shown to the policy server.
		asked := p.asked.Load()
		var notAllowed *pdu.NotAllowed
		if _, err := a.engine.Send(t.Context(), room, text(anna, "x")); !errors.As(err, &notAllowed) || p.asked.Load() != asked {
			t.Errorf("not a member: %v, asked %d times", err, p.asked.Load()-asked)
		}
	})
}

// P-30, M-104: a received event without the signature: the policy server is asked once. Signed, the event is accepted, and kept
// with both signatures; refused or unreachable, it is soft-failed. Other events of the room go on meanwhile, those that follow wait.
func TestPolicyServerIsAskedAboutReceivedEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, p, room := policed(t, n)
		auth := a.authFor(room, createSlot, levelsSlot, memberOf(bob))
		top := []*event.Event{a.stored(a.extremities(room)[0]).Event}
		release := make(chan struct{})
		p.fault = func(e *event.Event) error {
			if strings.Contains(string(e.Content().Canonical()), "spam") {
				return errForbidden
			}
			if strings.Contains(string(e.Content().Canonical()), "slow") {
				<-release
			}
			return nil
		}
		ham := build(t, room, text(bob, "ham"), top, auth)
		a.receive("b.example", ham.JSON())
		a.wantOutcome(ham, pdu.Accepted, "", "")
		if !signedByPolicy(a.stored(ham.ID()).Event) {
			t.Error("M-103: the signature was not stored")
		}
		spam := build(t, room, text(bob, "spam"), []*event.Event{ham}, auth)
		before := p.asked.Load()
		a.receive("b.example", spam.JSON())
		a.wantOutcome(spam, pdu.SoftFailed, "P-30", "M-104")
		if v, _, _ := a.engine.Verdict(t.Context(), spam.ID()); !strings.Contains(v.Decisive().Detail, "no spam") {
			t.Errorf("the verdict does not say why: %+v", v.Decisive())
		}
		a.receive("b.example", spam.JSON())
		if asked := p.asked.Load() - before; asked != 1 {
			t.Errorf("asked %d times, want once", asked)
		}
		if slices.Contains(a.extremities(room), spam.ID()) || slices.Contains(a.delivered(), spam.ID()) {
			t.Error("P-33: a soft-failed event is an extremity, or delivered")
		}
		// While the answer about one is awaited, one that is signed already goes past it, and one that follows waits.
		slow := build(t, room, text(bob, "slow"), []*event.Event{ham}, auth)
		child := build(t, room, text(bob, "child"), []*event.Event{slow}, auth)
		quick, err := build(t, room, text(bob, "quick"), []*event.Event{ham}, auth).WithSignature("p.example", "ed25519:policy_server", "AAAA")
		if err != nil {
			t.Fatal(err)
		}
		if quick, err = quick.WithSignature("p.example", "ed25519:policy_server", p.signature(t, quick)); err != nil {
			t.Fatal(err)
		}
		a.receive("b.example", slow.JSON(), child.JSON(), quick.JSON())
		a.wantOutcome(slow, pdu.Staged, "", "")
		a.wantOutcome(child, pdu.Quarantined, "", "")
		a.wantOutcome(quick, pdu.Accepted, "", "")
		close(release)
		synctest.Wait()
		a.wantOutcome(slow, pdu.Accepted, "", "")
		a.wantOutcome(child, pdu.Accepted, "", "")
	})
}

// M-105: what the policy server says has no part in state resolution. State that it refuses is kept from users, and yet is the state
// before what follows it: other servers, which may have been given the signature, see it there too.
func TestPolicyServerDoesNotDecideState(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, p, room := policed(t, n)
		auth := a.authFor(room, createSlot, levelsSlot, memberOf(alice))
		p.fault = func(e *event.Event) error {
			if strings.Contains(string(e.Content().Canonical()), "spam") {
				return errForbidden
			}
			return nil
		}
		top := []*event.Event{b.stored(b.extremities(room)[0]).Event}
		topic := build(t, room, stateDraft(alice, "m.room.topic", `{"topic":"spam"}`), top, auth)
		child := build(t, room, text(alice, "ham"), []*event.Event{topic}, auth)
		b.receive("a.example", topic.JSON(), child.JSON())
		b.wantOutcome(topic, pdu.SoftFailed, "P-30", "M-104")
		b.wantOutcome(child, pdu.Accepted, "", "")
		if !b.stateAt(child.ID())[topic.ID()] {
			t.Error("the state before what follows the topic is without it")
		}
		if slices.Contains(b.delivered(), topic.ID()) {
			t.Error("P-33: what was soft-failed is delivered")
		}
	})
}

// An event whose parent nobody gives is placed on a state that was given. What its policy server says about it holds there too, and
// is not asked for at every attempt (P-30, M-104).
func TestPolicyServerAndGivenState(t *testing.T) {
	for _, tt := range []struct {
		fault       error
		want        pdu.Outcome
		check, rule string
	}{{errForbidden, pdu.SoftFailed, "P-30", "M-104"}, {nil, pdu.Accepted, "", ""}} {
		inBubble(t, func(t *testing.T, n *network) {
			a, b, p, room := policed(t, n)
			lost := b.send(room, text(bob, "lost"))
			n.hold()
			e := build(t, room, text(bob, "x"), []*event.Event{lost}, a.authFor(room, createSlot, levelsSlot, memberOf(bob)))
			b.receive("b.example", e.JSON())
			refusal, sign := notFound("event", "get_missing_events"), n.refuse
			n.setRefuse(func(from, to ident.ServerName, call transport.Call) error {
				return errors.Join(refusal(from, to, call), sign(from, to, call))
			})
			p.fault = func(*event.Event) error { return tt.fault }
			before := p.asked.Load()
			a.receive("b.example", e.JSON())
			pass(time.Hour)
			a.wantOutcome(e, tt.want, tt.check, tt.rule)
			if asked, states := p.asked.Load()-before, n.requestsFor("state_ids"); asked != 1 || states > 3 {
				t.Errorf("%v: the policy server was asked %d times, for the state %d times", tt.want, asked, states)
			}
			if got := signedByPolicy(a.stored(e.ID()).Event); got != (tt.fault == nil) {
				t.Errorf("%v: signed %v", tt.want, got)
			}
		})
	}
}

// A bad signature is as good as none.
func TestBadPolicySignature(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, p, room := policed(t, n)
		auth := a.authFor(room, createSlot, levelsSlot, memberOf(bob))
		p.fault = func(*event.Event) error { return errForbidden }
		top := []*event.Event{a.stored(a.extremities(room)[0]).Event}
		forged, err := build(t, room, text(bob, "x"), top, auth).WithSignature("p.example", "ed25519:policy_server", strings.Repeat("A", 86))
		if err != nil {
			t.Fatal(err)
		}
		a.receive("b.example", forged.JSON())
		a.wantOutcome(forged, pdu.SoftFailed, "P-30", "M-104")
	})
}

// An unreachable policy server costs one time-out for all that waits, and what waits is neither lost at a restart nor waits for ever.
func TestUnreachablePolicyServer(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, p, room := policed(t, n)
		auth := a.authFor(room, createSlot, levelsSlot, memberOf(bob))
		top := []*event.Event{a.stored(a.extremities(room)[0]).Event}
		hang := make(chan struct{})
		p.fault = func(*event.Event) error {
			<-hang
			return &transport.Failure{Class: transport.ClassTimeout}
		}
		var events []*event.Event
		var wire [][]byte
		for i := range 120 {
			e := build(t, room, text(bob, fmt.Sprint(i)), top, auth)
			events, wire = append(events, e), append(wire, e.JSON())
		}
		before := p.asked.Load()
		a.receive("b.example", wire...)
		a.wantOutcome(events[0], pdu.Staged, "", "")
		// The process ends while the answer is awaited.
		close(hang)
		a.restart()
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		for _, e := range events {
			a.wantOutcome(e, pdu.SoftFailed, "P-30", "M-104")
		}
		if asked := p.asked.Load() - before; asked > 12 {
			t.Errorf("asked %d times about 120 events", asked)
		}
	})
}

// A join handed over by another server is shown to the policy server by the resident (M-101, P-30), and refused in its words.
func TestPolicyServerAndJoins(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, p, room := policed(t, n)
		p.fault = func(*event.Event) error { return errForbidden }
		c := n.start("c.example")
		if _, err := c.tryJoin(room, carol, a); errcode(err) != "403 M_FORBIDDEN" {
			t.Errorf("join: %v", err)
		}
		p.fault = func(*event.Event) error { return &transport.Failure{Class: transport.ClassTimeout} }
		if _, err := c.tryJoin(room, carol, a); errcode(err) != "502 M_UNKNOWN" {
			t.Errorf("join: %v", err)
		}
		p.fault = func(*event.Event) error { return nil }
		join := c.join(room, carol, a)
		if !signedByPolicy(a.stored(join.ID()).Event) {
			t.Error("the resident keeps the join without the policy server's signature")
		}
		n.deliver()
	})
}

// M-106: a room that names us as its policy server gets nothing signed.
func TestWeAreNoPolicyServer(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.start("a.example")
		room := a.createPublic("11", alice)
		a.send(room, stateDraft(alice, "m.room.policy", `{"via":"a.example","public_keys":{"ed25519":"AAAA"}}`))
		var refused *pdu.NotAllowed
		if _, err := a.engine.Send(t.Context(), room, text(alice, "x")); !errors.As(err, &refused) || refused.Verdict.Decisive().Rule != "M-106" {
			t.Errorf("send: %v", err)
		}
		for _, route := range a.engine.Routes() {
			if strings.Contains(route.Pattern, "policy") {
				t.Errorf("E-36 is served: %s", route.Pattern)
			}
		}
	})
}

// An event that was soft-failed because the policy server could not be reached is brought back when it has signed after all.
func TestAskPolicyAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, _, p, room := policed(t, n)
		auth := a.authFor(room, createSlot, levelsSlot, memberOf(bob))
		p.fault = func(*event.Event) error { return &transport.Failure{Class: transport.ClassTimeout} }
		late := build(t, room, text(bob, "late"), []*event.Event{a.stored(a.extremities(room)[0]).Event}, auth)
		a.receive("b.example", late.JSON())
		a.wantOutcome(late, pdu.SoftFailed, "P-30", "M-104")
		var failed *pdu.PolicyError
		if _, err := a.engine.AskPolicy(t.Context(), late.ID()); !errors.As(err, &failed) || failed.Refused {
			t.Errorf("asked again: %v", err)
		}
		a.wantOutcome(late, pdu.SoftFailed, "P-30", "M-104")
		p.fault = func(*event.Event) error { return nil }
		v, err := a.engine.AskPolicy(t.Context(), late.ID())
		if err != nil || v.Outcome != pdu.Accepted {
			t.Errorf("asked again: %v, %v", v.Outcome, err)
		}
		if !signedByPolicy(a.stored(late.ID()).Event) || !slices.Contains(a.delivered(), late.ID()) {
			t.Error("it is not signed, or not delivered")
		}
		if _, err := a.engine.AskPolicy(t.Context(), late.ID()); !errors.Is(err, pdu.ErrAccepted) {
			t.Errorf("asked about an accepted event: %v", err)
		}
	})
}
