// SPDX-License-Identifier: Apache-2.0

package persistence

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strata-matrix/strata/transport/ident"
)

// A verdict takes the place of the one before it about the same event: what caused that is forgotten, how often it was judged and
// how the event came is not.
func TestVerdictsReplaceEachOther(t *testing.T) {
	s := newStore(t, Options{})
	update(t, s, func(tx *Tx) error {
		room, err := tx.PutRoom(Room{ID: "!a:x", Version: "10", Membership: RoomJoined})
		if err != nil {
			return err
		}
		for _, id := range []ident.EventID{"$cause", "$other"} {
			if _, _, err := tx.AddEvent(Event{RoomNID: room, ID: id, JSON: []byte(`{}`)}); err != nil {
				return err
			}
		}
		return nil
	})
	quarantined := Verdict{
		Event: "$e", Room: "!a:x", Outcome: OutcomeQuarantined, Checks: []byte("[]"), Origin: "o.example", Arrival: 1, Txn: "t", ReceivedAt: 5, JudgedAt: 6,
	}
	rejected := quarantined
	rejected.Outcome, rejected.JudgedAt, rejected.Causes, rejected.Searches, rejected.Note = OutcomeRejected, 10, []ident.EventID{"$cause", "$unknown"}, 3, "n"
	again := Verdict{Event: "$e", Room: "!a:x", Outcome: OutcomeSoftFailed, Checks: []byte("[1]"), JudgedAt: 20, Causes: []ident.EventID{"$other"}}
	for _, step := range []struct {
		put               Verdict
		firstAt           int64
		judgements        int
		byCause, byOther  int
		receivedAt        int64
		searches, causing int
	}{
		{quarantined, 0, 0, 0, 0, 5, 0, 0},
		{rejected, 10, 1, 1, 0, 5, 3, 1},
		{again, 10, 2, 0, 1, 5, 3, 1},
	} {
		update(t, s, func(tx *Tx) error { return tx.PutVerdict(step.put) })
		err := s.View(context.Background(), func(tx *Tx) error {
			got, found, err := tx.Verdict("$e")
			if err != nil || !found || got.FirstAt != step.firstAt || got.Judgements != step.judgements || got.JudgedAt != step.put.JudgedAt ||
				got.ReceivedAt != step.receivedAt || got.Txn != "t" || got.Origin != "o.example" || got.Arrival != 1 || got.Searches != step.searches {
				t.Errorf("after %+v: %+v, %v, %v", step.put, got, found, err)
			}
			causes, err := tx.Causes(got.NID)
			if len(causes) != step.causing || err != nil {
				t.Errorf("causes %v, %v, want %d", causes, err, step.causing)
			}
			for id, want := range map[ident.EventID]int{"$cause": step.byCause, "$other": step.byOther, "$unknown": 0} {
				if caused, err := tx.CausedBy(id, 10); len(caused) != want || err != nil {
					t.Errorf("caused by %s: %v, %v, want %d", id, caused, err, want)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindVerdicts(t *testing.T) {
	s := newStore(t, Options{})
	for n := range 12 {
		update(t, s, func(tx *Tx) error {
			return tx.PutVerdict(Verdict{
				Event: ident.EventID(fmt.Sprintf("$%d", n)), Room: ident.RoomID(fmt.Sprintf("!%d:x", n%2)), Outcome: OutcomeSoftFailed + n%3,
				Origin: ident.ServerName(fmt.Sprintf("%d.example", n%4)), JudgedAt: int64(n), Checks: []byte("[]"),
			})
		})
	}
	for _, tt := range []struct {
		name   string
		filter VerdictFilter
		limit  int
		want   []ident.EventID
		more   bool
	}{
		{"all", VerdictFilter{}, 3, []ident.EventID{"$11", "$10", "$9"}, true},
		{"before", VerdictFilter{Before: 4}, 10, []ident.EventID{"$2", "$1", "$0"}, false},
		{"since", VerdictFilter{Since: 10}, 10, []ident.EventID{"$11", "$10"}, false},
		{"room", VerdictFilter{Room: "!1:x"}, 10, []ident.EventID{"$11", "$9", "$7", "$5", "$3", "$1"}, false},
		{"outcome", VerdictFilter{Outcome: OutcomeRejected}, 10, []ident.EventID{"$10", "$7", "$4", "$1"}, false},
		{"origin", VerdictFilter{Origin: "3.example"}, 2, []ident.EventID{"$11", "$7"}, true},
		{"all of them", VerdictFilter{Room: "!0:x", Outcome: OutcomeSoftFailed, Origin: "2.example", Since: 1, Before: 12}, 9, []ident.EventID{"$6"}, false},
		{"nothing", VerdictFilter{Room: "!9:x"}, 10, nil, false},
	} {
		err := s.View(context.Background(), func(tx *Tx) error {
			list, next, err := tx.FindVerdicts(tt.filter, tt.limit)
			var got []ident.EventID
			for _, v := range list {
				got = append(got, v.Event)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || (next != 0) != tt.more {
				t.Errorf("%s: next %d, want more: %v; %s", tt.name, next, tt.more, diff)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestEventArrival(t *testing.T) {
	s := newStore(t, Options{})
	update(t, s, func(tx *Tx) error {
		room, err := tx.PutRoom(Room{ID: "!a:x", Version: "10", Membership: RoomJoined})
		if err != nil {
			return err
		}
		origin, err := tx.ServerNID("o.example")
		if err != nil {
			return err
		}
		e := Event{RoomNID: room, ID: "$e", JSON: []byte(`{}`), Origin: origin, Arrival: 2, ReceivedAt: 1000}
		if e.NID, _, err = tx.AddEvent(e); err != nil {
			return err
		}
		want := EventArrival{Origin: "o.example", Arrival: 2, ReceivedAt: 1000}
		for _, judgedAt := range []int64{0, 1234, 9999} { // the first judgement counts
			e.Outcome, e.JudgedAt = OutcomeAccepted, judgedAt
			if err := tx.SettleEvent(e); err != nil {
				return err
			}
			if want.JudgedAt == 0 {
				want.JudgedAt = judgedAt
			}
			got, found, err := tx.EventArrival("$e")
			if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" || !found || err != nil {
				t.Errorf("judged at %d: %v, %v, %s", judgedAt, found, err, diff)
			}
		}
		return nil
	})
	update(t, s, func(tx *Tx) error {
		if _, found, err := tx.EventArrival("$none"); found || err != nil {
			t.Errorf("of an unknown event: %v, %v", found, err)
		}
		return nil
	})
}
