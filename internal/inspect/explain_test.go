// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// An event was soft-failed because of another, and a third is because of it.
func TestExplain(t *testing.T) {
	b := newBench(t)
	b.putRoom()
	ban := b.add("ban", true, nil)
	soft := b.add("soft", false, nil, ban)
	late := b.add("late", false, nil, soft)
	checks := func(list ...pdu.Check) []byte {
		encoded, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		return encoded
	}
	b.update(func(tx *persistence.Tx) error {
		err := tx.PutVerdict(persistence.Verdict{
			Event: soft.ID(), Room: b.room.ID, Outcome: persistence.OutcomeSoftFailed, Origin: "two.example", Arrival: 1, Txn: "17-4",
			ReceivedAt: 1500, JudgedAt: 1600, Causes: []ident.EventID{ban.ID()},
			Checks: checks(
				pdu.Check{ID: "P-25", OK: true, Rule: "P-25"}, pdu.Check{ID: "P-26", OK: true, Rule: "P-14"},
				pdu.Check{ID: "P-27", OK: true, Rule: "P-47"}, pdu.Check{ID: "P-28", OK: true, Rule: "P-47"},
				pdu.Check{ID: "P-29", Rule: "P-51", Detail: "banned", Inputs: []ident.EventID{ban.ID()}},
			),
		})
		if err != nil {
			return err
		}
		return tx.PutVerdict(persistence.Verdict{
			Event: late.ID(), Room: b.room.ID, Outcome: persistence.OutcomeSoftFailed, Checks: checks(), Origin: "two.example",
			Causes: []ident.EventID{soft.ID()},
		})
	})
	got, err := b.look.Explain(t.Context(), string(soft.ID()))
	if err != nil {
		t.Fatal(err)
	}
	none := []ident.EventID{}
	want := Explanation{
		EventID: string(soft.ID()), RoomID: string(b.room.ID), RoomVersion: "11", Type: "m.room.message", Sender: "@alice:one.example", Depth: 2,
		Verdict: "soft-failed", Waits: none, Causes: []ident.EventID{ban.ID()},
		Arrival:    Way{Via: "transaction", Peer: "two.example", Txn: "17-4", Received: 1500, Lag: 500},
		Dependents: []Dependent{{late.ID(), "soft-failed", soft.ID()}}, Affected: 1, Judged: 1600, FirstAt: 1600, Judgements: 1,
		Checks: []Step{
			{Check{1, "P-25", true, "P-25", ""}, true, none}, {Check{2, "P-26", true, "P-14", ""}, true, none},
			{Check{3, "P-27", true, "P-47", ""}, true, none}, {Check{4, "P-28", true, "P-47", ""}, true, none},
			{Check{5, "P-29", false, "P-51", "banned"}, true, []ident.EventID{ban.ID()}},
			{Check{6, "P-30", false, "", ""}, false, none},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("soft-failed (-want +got):\n%s", diff)
	}
	plain, err := b.look.Explain(t.Context(), string(ban.ID()))
	if err != nil || plain.Verdict != "accepted" || len(plain.Dependents) != 2 || plain.Affected != 2 {
		t.Errorf("accepted: %+v, %v; want two dependents", plain, err)
	}
	for _, s := range plain.Checks {
		if !s.OK || !s.Reached {
			t.Errorf("check %s of an accepted event is %+v", s.ID, s)
		}
	}
	if _, err := b.look.Explain(t.Context(), "$none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown event: %v", err)
	}
}

func TestJourney(t *testing.T) {
	b := newBench(t)
	b.putRoom()
	b.update(func(tx *persistence.Tx) error { return tx.MoveCursor("behind", 0) })
	e := b.add("a", true, nil)
	b.update(func(tx *persistence.Tx) error {
		if err := tx.MoveCursor("ahead", 1); err != nil {
			return err
		}
		return tx.PutVerdict(persistence.Verdict{
			Event: e.ID(), Room: b.room.ID, Outcome: persistence.OutcomeAccepted, Checks: []byte("[]"), Origin: "two.example", Arrival: 1,
			ReceivedAt: 1200, JudgedAt: 5200, Searches: 3, Note: "found at three.example",
		})
	})
	got, err := b.look.Journey(t.Context(), string(e.ID()))
	if err != nil {
		t.Fatal(err)
	}
	want := Journey{
		EventID: string(e.ID()), RoomID: string(b.room.ID), Outcome: "accepted",
		Legs: []Leg{
			{"sent", 1000, 0, "origin", "by the clock of @alice:one.example's server"},
			{"received", 1200, 200, "network", "transaction from two.example"},
			{"judged", 5200, 4000, "gap", "accepted; what it refers to was sought 3 times (found at three.example)"},
			{"in its place", 5200, 0, "us", "position 1"},
		},
		Readers: []Reader{{"ahead", true}, {"behind", false}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
