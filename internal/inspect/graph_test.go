// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// described is a graph as one line: each event by its body, with its parents, gaps and marks.
func described(t *testing.T, nodes []Node, err error) (list []string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	names := map[ident.EventID]string{}
	for _, n := range nodes {
		names[ident.EventID(n.EventID)] = bodies(t, []Event{n.Event}, nil)[0]
	}
	for _, n := range nodes {
		var parents []string
		for _, id := range n.Parents {
			parents = append(parents, names[id])
		}
		slices.Sort(parents)
		line := names[ident.EventID(n.EventID)] + ":" + strings.Join(parents, ",")
		if len(n.Gaps) > 0 {
			line += fmt.Sprintf(" %d gaps", len(n.Gaps))
		}
		if n.Head {
			line += " head"
		}
		if n.More {
			line += " more"
		}
		list = append(list, line)
	}
	return list
}

// a ── b ── (soft) ── d ── f
//
//	└── c ─────────────────┘       and a follows an event that is not here
func TestGraph(t *testing.T) {
	b := newBench(t)
	b.putRoom()
	unknown, err := event.Build(b.v, event.Proto{
		RoomID: b.room.ID, Sender: "@alice:one.example", Type: "m.room.message", Content: []byte(`{}`), Depth: 1,
	}, "one.example", b.key)
	if err != nil {
		t.Fatal(err)
	}
	empty := ""
	first := b.add("a", true, nil, unknown)
	second := b.add("b", true, nil, first)
	third := b.add("c", true, &empty, first)
	soft := b.add("soft", false, nil, second)
	fourth := b.add("d", true, nil, soft)
	b.add("f", true, nil, fourth, third)
	b.putRoom()
	for name, test := range map[string]struct {
		query GraphQuery
		want  []string
	}{
		"whole":       {GraphQuery{}, []string{"f:c,d head", "d:soft", "soft:b", "c:a", "b:a", "a: 1 gaps"}},
		"limited":     {GraphQuery{Limit: 2}, []string{"f:d head more", "d: more"}},
		"from inside": {GraphQuery{From: []string{string(soft.ID())}}, []string{"soft:b", "b:a", "a: 1 gaps"}},
		"auth events": {GraphQuery{From: []string{string(soft.ID())}, Auth: true}, []string{"soft:"}},
	} {
		test.query.RoomID = string(b.room.ID)
		nodes, err := b.look.Graph(t.Context(), test.query)
		got := described(t, nodes, err)
		if name == "whole" && len(got) == 6 { // c and b are equally deep: which comes first depends on their ids
			slices.Sort(got[3:5])
			slices.Reverse(got[3:5])
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for id, want := range map[string]error{"$none": ErrNotFound, "none": ErrQuery, string(unknown.ID()): ErrNotFound} {
		if _, err := b.look.Graph(t.Context(), GraphQuery{RoomID: string(b.room.ID), From: []string{id}}); !errors.Is(err, want) {
			t.Errorf("from %s: %v, want %v", id, err, want)
		}
	}
}

func TestHeadsAndGaps(t *testing.T) {
	b := newBench(t)
	b.putRoom()
	first := b.add("a", true, nil)
	held := b.add("b", true, nil, first)
	heldNID := b.room.Extremities[0]
	late := b.add("c", true, nil, first)
	b.room.Held = []int64{heldNID}
	b.update(func(tx *persistence.Tx) error {
		nid, _, err := tx.AddEvent(persistence.Event{RoomNID: b.room.NID, ID: "$waits", JSON: []byte(`{}`)})
		if err != nil {
			return err
		}
		err = tx.Stage(persistence.Staging{Event: nid, Room: b.room.NID, Origin: "two.example", Arrival: 1, ReceivedAt: 7})
		if err != nil {
			return err
		}
		if err := tx.Wait(nid, []persistence.Missing{{ID: held.ID(), InGraph: true}, {ID: "$missing", InGraph: true}}); err != nil {
			return err
		}
		if err := tx.Retry(nid, 2, 99, "nobody has it"); err != nil {
			return err
		}
		return tx.AddGap(b.room.NID, persistence.Gap{Event: "$gone", Server: "b.example"})
	})
	b.putRoom()
	heads, err := b.look.Heads(t.Context(), string(b.room.ID))
	if err != nil || len(heads) != 2 {
		t.Fatalf("heads %+v, %v", heads, err)
	}
	if h := heads[0]; h.EventID != string(late.ID()) || h.Held || h.Followers != 0 {
		t.Errorf("first head %+v, want c", h)
	}
	if h := heads[1]; h.EventID != string(held.ID()) || !h.Held || h.Followers != 1 {
		t.Errorf("second head %+v, want b, held for one", h)
	}
	gaps, err := b.look.Gaps(t.Context(), string(b.room.ID), 0)
	want := Gaps{
		History: []ident.EventID{"$gone"},
		Quarantined: []Quarantined{{
			EventID: "$waits", Peer: "two.example", Via: "transaction", Received: 7, Asked: []Asked{}, Waits: []ident.EventID{"$missing", held.ID()}, Attempts: 2, NextTry: 99,
			Note: "nobody has it",
		}},
	}
	if err == nil && len(gaps.Quarantined) == 1 {
		slices.Sort(gaps.Quarantined[0].Waits)
		slices.Sort(want.Quarantined[0].Waits)
	}
	if gaps.Budget.MaxRequests == 0 || gaps.Budget.MaxBytes == 0 || gaps.Budget.Until != 0 {
		t.Errorf("budget %+v: limits, and nothing spent, are wanted", gaps.Budget)
	}
	want.Budget = gaps.Budget
	if diff := cmp.Diff(want, gaps); diff != "" || err != nil {
		t.Errorf("gaps: %v (-want +got):\n%s", err, diff)
	}
}

func TestStateAt(t *testing.T) {
	b := newBench(t)
	b.putRoom()
	empty, other := "", "other"
	first := b.add("old", true, &empty)
	second := b.add("new", true, &empty, first)
	aside := b.add("aside", true, &other, second)
	before, tree := state.Build(map[event.StateKey]ident.EventID{{Type: "m.room.name"}: first.ID()})
	after, more := state.Build(map[event.StateKey]ident.EventID{{Type: "m.room.name"}: second.ID(), {Type: "m.room.name", Key: "other"}: aside.ID()})
	b.update(func(tx *persistence.Tx) error {
		for _, n := range slices.Concat(tree, more) {
			if err := tx.AddStateNode(n.Hash[:], n.Data); err != nil {
				return err
			}
		}
		stored, _, err := tx.Event(second.ID())
		if err != nil {
			return err
		}
		stored.Before, stored.After = before[:], after[:]
		return tx.SettleEvent(stored)
	})
	b.room.State = after[:]
	b.putRoom()
	for name, test := range map[string]struct {
		query StateQuery
		want  []string
	}{
		"current": {StateQuery{}, []string{"new", "aside"}},
		"before":  {StateQuery{EventID: string(second.ID())}, []string{"old"}},
		"after":   {StateQuery{EventID: string(second.ID()), After: true}, []string{"new", "aside"}},
		"a slot":  {StateQuery{Types: []string{"m.room.name"}, Key: &other}, []string{"aside"}},
		"no type": {StateQuery{Types: []string{"m.room.topic"}}, nil},
	} {
		test.query.RoomID = string(b.room.ID)
		events, err := b.look.State(t.Context(), test.query)
		if diff := cmp.Diff(test.want, bodies(t, events, err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for name, test := range map[string]struct {
		query StateQuery
		want  error
	}{
		"after nothing":    {StateQuery{After: true}, ErrQuery},
		"an unknown event": {StateQuery{EventID: "$none"}, ErrNotFound},
		"no event id":      {StateQuery{EventID: "none"}, ErrQuery},
	} {
		test.query.RoomID = string(b.room.ID)
		if _, err := b.look.State(t.Context(), test.query); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}
