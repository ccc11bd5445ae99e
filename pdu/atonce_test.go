// SPDX-License-Identifier: Apache-2.0

package pdu_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// bobsRooms is two rooms of alice's at a, in which bob of b has sent messages that a has not heard of.
func (n *network) bobsRooms(messages int) (a *server, sent [2][]*event.Event) {
	a, b := n.start("a.example"), n.start("b.example")
	rooms := [2]ident.RoomID{a.createPublic("12", alice), a.createPublic("12", alice)}
	for _, room := range rooms {
		b.join(room, bob, a)
		n.deliver()
	}
	for i, room := range rooms {
		for m := range messages {
			sent[i] = append(sent[i], b.send(room, text(bob, fmt.Sprint(m))))
		}
	}
	n.hold()
	return a, sent
}

// keep takes events in, as a transaction of b's whose reply is kept by reply.
func (s *server) keep(reply func(*persistence.Tx) error, events ...*event.Event) error {
	in := transaction.Inbound{Origin: "b.example", TxnID: "1"}
	for _, e := range events {
		in.PDUs = append(in.PDUs, e.JSON())
	}
	staged, err := s.engine.ReceivePDUs(context.Background(), in)
	if err != nil {
		return err
	}
	return staged.Keep(context.Background(), reply)
}

func nothing(*persistence.Tx) error { return nil }

// What rests on what is known is accepted when the reply is durable, by one commit for all rooms. Of a room in which something is
// missing nothing is, and that keeps no other room waiting.
func TestJudgedWithTheReply(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, sent := n.bobsRooms(3)
		n.refuse = func(ident.ServerName, ident.ServerName, transport.Call) error { return errors.New("no answer") }
		commits := 0
		a.crash = func(p persistence.Point) error {
			if p == persistence.BeforeCommit {
				commits++
			}
			return nil
		}
		outcome := func(e *event.Event) pdu.Outcome {
			stored, err := a.engine.Event(t.Context(), e.ID())
			if err != nil {
				t.Fatal(err)
			}
			return stored.Outcome
		}
		if err := a.keep(nothing, sent[0][1], sent[0][0], sent[1][0]); err != nil {
			t.Fatal(err)
		}
		if commits != 1 {
			t.Errorf("%d commits, want 1", commits)
		}
		for _, e := range []*event.Event{sent[0][0], sent[0][1], sent[1][0]} {
			if got := outcome(e); got != pdu.Accepted {
				t.Errorf("%s is %s with the reply, want accepted", e.ID(), got)
			}
		}
		if err := a.keep(nothing, sent[0][2], sent[1][2]); err != nil {
			t.Fatal(err)
		}
		if got := outcome(sent[0][2]); got != pdu.Accepted {
			t.Errorf("%s is %s with the reply, want accepted", sent[0][2].ID(), got)
		}
		synctest.Wait()
		a.wantOutcome(sent[1][2], pdu.Quarantined, "", "")
	})
}

// When the job fails in which events are stored with the reply, they are staged with it instead, and judged after: each once.
func TestStagedWhenTheJobFails(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, sent := n.bobsRooms(2)
		want := a.delivered()
		for _, e := range sent[0] {
			want = append(want, e.ID())
		}
		jobs := 0
		err := a.keep(func(*persistence.Tx) error {
			if jobs++; jobs == 1 {
				return errors.New("not this time")
			}
			return nil
		}, sent[0]...)
		if err != nil || jobs != 2 {
			t.Fatalf("%d jobs, %v", jobs, err)
		}
		synctest.Wait()
		if diff := cmp.Diff(want, a.delivered()); diff != "" {
			t.Errorf("delivered (-want +got):\n%s", diff)
		}
		if err := a.keep(func(*persistence.Tx) error { return errors.New("never") }, sent[1]...); err == nil {
			t.Error("a reply that was not kept was given")
		}
		synctest.Wait()
		if diff := cmp.Diff(want, a.delivered()); diff != "" {
			t.Errorf("delivered without a reply (-want +got):\n%s", diff)
		}
	})
}

// Events that several servers bring at the same time are delivered once, whoever is judged at once and who finds the room taken.
func TestBroughtByManyAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, sent := n.bobsRooms(12)
		want := map[ident.EventID]int{}
		for _, id := range a.delivered() {
			want[id]++
		}
		var all sync.WaitGroup
		for _, list := range sent {
			for i, e := range list {
				want[e.ID()]++
				all.Go(func() {
					if err := a.keep(nothing, list[max(0, i-3):i+1]...); err != nil {
						t.Error(err)
					}
				})
			}
		}
		all.Wait()
		synctest.Wait()
		got := map[ident.EventID]int{}
		for _, id := range a.delivered() {
			got[id]++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("delivered (-want +got):\n%s", diff)
		}
		for _, list := range sent {
			if diff := cmp.Diff([]ident.EventID{list[11].ID()}, a.extremities(list[0].RoomID())); diff != "" {
				t.Errorf("extremities (-want +got):\n%s", diff)
			}
		}
	})
}

// A copy that was tampered with, and is staged while the whole one is judged, does not take its place.
func TestAnotherCopyStagedMeanwhile(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		a, b, room := n.shared("12")
		e := b.send(room, text(bob, "true"))
		n.hold()
		whole, err := a.engine.ReceivePDUs(t.Context(), transaction.Inbound{Origin: "b.example", TxnID: "1", PDUs: [][]byte{e.JSON()}})
		if err != nil {
			t.Fatal(err)
		}
		kept := make(chan error, 1)
		var once sync.Once
		a.crash = func(p persistence.Point) error {
			once.Do(func() {
				go func() { kept <- whole.Keep(context.Background(), nothing) }()
				synctest.Wait() // it has the room's turn, and waits for the store
			})
			return nil
		}
		n.setLie(func(ident.ServerName, transport.Call) string { return `{"pdus":[` + string(forged(e)) + `]}` })
		if _, err := a.engine.FetchEvent(t.Context(), "b.example", e.ID(), true); err != nil {
			t.Fatal(err)
		}
		if err := <-kept; err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		a.restart()
		stored := a.stored(e.ID())
		if stored.Outcome != pdu.Accepted || !stored.Event.Content().Has("body") {
			t.Errorf("%s, %s; want it accepted and whole", stored.Outcome, stored.Event.JSON())
		}
	})
}
