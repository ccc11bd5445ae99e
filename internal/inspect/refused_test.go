// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// refuse records that an event was refused.
func (b *bench) refuse(id ident.EventID, outcome int, origin ident.ServerName, at int64) {
	b.Helper()
	b.update(func(tx *persistence.Tx) error {
		return tx.PutVerdict(persistence.Verdict{
			Event: id, Room: b.room.ID, Outcome: outcome, Origin: origin, Arrival: 1, ReceivedAt: at - 5, JudgedAt: at,
			Checks: []byte(`[{"ID":"P-25","OK":true},{"ID":"P-29","Rule":"P-51","Detail":"banned"}]`),
		})
	})
}

// Refused events are listed as they were judged, the last first; what is asked for is what comes, by pages.
func TestRefused(t *testing.T) {
	b := newBench(t)
	b.putRoom()
	b.refuse("$soft", persistence.OutcomeSoftFailed, "two.example", 100)
	b.refuse("$bad", persistence.OutcomeDropped, "three.example", 200)
	b.refuse("$no", persistence.OutcomeRejected, "two.example", 300)
	b.refuse("$waits", persistence.OutcomeQuarantined, "two.example", 400)
	for name, test := range map[string]struct {
		query RefusedQuery
		want  []string
	}{
		"all":         {RefusedQuery{}, []string{"$waits quarantined", "$no rejected", "$bad dropped", "$soft soft-failed"}},
		"some":        {RefusedQuery{Limit: 2}, []string{"$waits quarantined", "$no rejected"}},
		"further":     {RefusedQuery{Before: 3, Limit: 1}, []string{"$bad dropped"}},
		"by peer":     {RefusedQuery{Peer: "two.example", Before: 4}, []string{"$no rejected", "$soft soft-failed"}},
		"by verdict":  {RefusedQuery{Verdict: "soft-failed"}, []string{"$soft soft-failed"}},
		"by time":     {RefusedQuery{Since: 300}, []string{"$waits quarantined", "$no rejected"}},
		"by room":     {RefusedQuery{RoomID: string(b.room.ID), Limit: 1}, []string{"$waits quarantined"}},
		"other room":  {RefusedQuery{RoomID: "!other:one.example"}, nil},
		"nobody sent": {RefusedQuery{Peer: "four.example"}, nil},
	} {
		got, err := b.look.Refused(t.Context(), test.query)
		if err != nil || got == nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		var words []string
		for _, r := range got {
			words = append(words, fmt.Sprint(r.EventID, " ", r.Verdict))
		}
		if diff := cmp.Diff(test.want, words); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	want := []Refused{{
		Number: 1, EventID: "$soft", RoomID: b.room.ID, Verdict: "soft-failed", Judged: 100,
		Arrival: Way{Via: "transaction", Peer: "two.example", Received: 95}, Check: Check{2, "P-29", false, "P-51", "banned"},
	}}
	got, err := b.look.Refused(t.Context(), RefusedQuery{Before: 2})
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, q := range []RefusedQuery{{RoomID: "x"}, {Peer: "a b"}, {Verdict: "odd"}} {
		if _, err := b.look.Refused(t.Context(), q); !errors.Is(err, ErrQuery) {
			t.Errorf("%+v: %v, want a faulty query", q, err)
		}
	}
}

// The graph shows refused events too that nothing follows, where they have a place in it; no more than a third of it is theirs.
func TestGraphShowsWhatWasRefused(t *testing.T) {
	b := newBench(t)
	b.putRoom()
	first := b.add("a", true, nil)
	second := b.add("b", true, nil, first)
	b.putRoom()
	heads := b.room.Extremities
	var refused []*event.Event
	for i := range 5 {
		e := b.add(fmt.Sprint("soft", i), false, nil, first)
		b.refuse(e.ID(), persistence.OutcomeSoftFailed, "two.example", int64(100+i))
		refused = append(refused, e)
	}
	b.refuse("$dropped", persistence.OutcomeDropped, "two.example", 200)
	b.room.Extremities = heads
	b.putRoom()
	for _, test := range []struct {
		query GraphQuery
		want  int // refused events
	}{
		{GraphQuery{}, 5}, {GraphQuery{Limit: 6}, 2}, {GraphQuery{Limit: 2}, 0}, {GraphQuery{From: []string{string(second.ID())}}, 0},
		{GraphQuery{Auth: true}, 0},
	} {
		test.query.RoomID = string(b.room.ID)
		nodes, err := b.look.Graph(t.Context(), test.query)
		found := 0
		for _, n := range nodes {
			if n.Outcome == "soft-failed" {
				found++
			}
		}
		if err != nil || found != test.want || nodes[len(nodes)-1].EventID == string(refused[0].ID()) {
			t.Errorf("%+v: %d refused events of %d (%v), want %d", test.query, found, len(nodes), err, test.want)
		}
	}
}
