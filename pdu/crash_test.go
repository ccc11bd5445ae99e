// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

var errPower = errors.New("power cut")

// crashAt makes the nth commit point from now on a crash.
func (s *server) crashAt(nth int) {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	s.crash = func(persistence.Point) error {
		s.net.mu.Lock()
		defer s.net.mu.Unlock()
		if nth--; nth < 0 {
			return errPower
		}
		return nil
	}
}

// A crash at any commit point of receiving loses nothing that was promised, and gives no event two positions.
func TestCrashWhileReceiving(t *testing.T) {
	for _, way := range []struct {
		name   string
		points int
		copies int // of the first event: what comes more than once is staged
	}{
		{"judged at once", 4, 1}, // one commit of two points; then nothing is left to crash at
		{"staged", 8, 2},         // staging and judging are two
	} {
		for nth := range way.points {
			t.Run(fmt.Sprint(way.name, nth), func(t *testing.T) { crashWhileReceiving(t, nth, way.copies) })
		}
	}
}

func crashWhileReceiving(t *testing.T, nth, copies int) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b := n.start("a.example"), n.start("b.example")
		room := a.createPublic("12", alice)
		b.join(room, bob, a)
		n.deliver()
		var pdus [][]byte
		var want []ident.EventID
		for i := range 3 {
			e := b.send(room, text(bob, fmt.Sprint(i)))
			pdus, want = append(pdus, e.JSON()), append(want, e.ID())
		}
		topic := b.send(room, member(bob, bob, "leave"))
		pdus, want = append(pdus, topic.JSON()), append(want, topic.ID())
		n.hold()
		for range copies - 1 {
			pdus = append(pdus, pdus[0])
		}
		want = append(a.delivered(), want...)

		a.crashAt(nth)
		_, err := a.tryReceive("b.example", pdus...)
		synctest.Wait()
		a.restart()
		synctest.Wait()
		if err != nil { // no reply went out: the sender tries again
			a.receive("b.example", pdus...)
		}
		if diff := cmp.Diff(want, a.delivered()); diff != "" {
			t.Errorf("delivered: %s", diff)
		}
		if diff := cmp.Diff([]ident.EventID{topic.ID()}, a.extremities(room)); diff != "" {
			t.Errorf("extremities: %s", diff)
		}
		if diff := cmp.Diff(b.state(room), a.state(room)); diff != "" {
			t.Errorf("state: %s", diff)
		}
		if got, err := a.engine.Servers(t.Context(), room); err != nil || !slices.Equal(got, []ident.ServerName{"a.example"}) {
			t.Errorf("servers: %v, %v", got, err)
		}
	})
}

// A crash at any commit point of sending, creating or joining leaves all of it or nothing.
func TestCrashWhileSending(t *testing.T) {
	for nth := range 2 {
		inBubble(t, func(t *testing.T, n *network) {
			a := n.start("a.example")
			room := a.createPublic("12", alice)
			before := len(a.delivered())
			a.crashAt(nth)
			if _, err := a.engine.Send(context.Background(), room, text(alice, "x")); !errors.Is(err, errPower) {
				t.Errorf("send at a crash: %v", err)
			}
			a.restart()
			if got, want := len(a.delivered())-before, nth; got != want { // before the commit: nothing; after it: the event
				t.Errorf("crash point %d: %d events, want %d", nth, got, want)
			}
			a.send(room, text(alice, "y"))
		})
	}
	for nth := range 4 {
		inBubble(t, func(t *testing.T, n *network) {
			a, b := n.start("a.example"), n.start("b.example")
			room := a.createPublic("12", alice)
			b.crashAt(nth)
			if _, err := b.tryJoin(room, bob, a); err == nil {
				t.Errorf("crash point %d: the join succeeded", nth)
			}
			b.restart()
			info, err := b.engine.Room(t.Context(), room)
			switch joined := nth == 3; { // the second commit was durable
			case joined && (err != nil || info.Membership != pdu.Joined):
				t.Errorf("crash point %d: %v, %v, want joined", nth, info.Membership, err)
			case !joined && err == nil && info.Membership != pdu.Left:
				t.Errorf("crash point %d: %v, want left or unknown", nth, info.Membership)
			case !joined:
				b.join(room, bob, a)
			}
			n.deliver()
			if diff := cmp.Diff(a.state(room), b.state(room)); diff != "" {
				t.Errorf("crash point %d: state: %s", nth, diff)
			}
		})
	}
}

func TestClosedEngineRefuses(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a := n.start("a.example")
		room := a.createPublic("12", alice)
		a.close()
		if _, err := a.engine.Send(context.Background(), room, text(alice, "x")); !errors.Is(err, pdu.ErrClosed) {
			t.Errorf("send after Run has ended: %v, want ErrClosed", err)
		}
	})
}
