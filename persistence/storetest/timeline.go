// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Events is a job's access to the events of rooms 1 and 2.
type Events interface {
	AddEvent(e persistence.Event) (nid int64, added bool, err error)
	SettleEvent(e persistence.Event) error
	EventsByTime(room, ts int64, forward bool, limit int) ([]persistence.Event, error)
	RoomEventsFrom(room, nid int64, limit int) ([]persistence.Event, error)
}

// History is what a job has beside Events.
type History interface {
	RoomHistory(room int64, from, to persistence.HistoryPlace, forward bool, limit int) ([]persistence.Event, error)
}

// RunTimeline holds the orders of a room's events to their contract. jobs makes an empty engine with two rooms, numbered 1 and
// 2, and gives what runs a job on it.
func RunTimeline(t *testing.T, jobs func(t *testing.T) func(job func(Events) error)) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, func(func(Events) error))
	}{
		{"events are found by time, closest first", testByTime},
		{"only what stands in the graph has its place by time", testStands},
		{"events of a room are listed by number", testByNumber},
		{"history is listed by depth", testByDepth},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, jobs(t)) })
	}
}

// standing is an event with its place in the graph of room 1.
func standing(name string, ts int64) persistence.Event {
	return persistence.Event{
		RoomNID: 1, ID: ident.EventID("$" + name), Outcome: persistence.OutcomeAccepted, TS: ts, Before: []byte("s"), After: []byte("s"),
		JSON: []byte(`{}`),
	}
}

func add(t *testing.T, do func(func(Events) error), events ...persistence.Event) (nids []int64) {
	t.Helper()
	do(func(tx Events) error {
		for _, e := range events {
			nid, added, err := tx.AddEvent(e)
			if err != nil || !added {
				return fmt.Errorf("add %s: added %t, %w", e.ID, added, err)
			}
			nids = append(nids, nid)
		}
		return nil
	})
	return nids
}

func byTime(t *testing.T, do func(func(Events) error), ts int64, forward bool, limit int) (found string) {
	t.Helper()
	do(func(tx Events) error {
		list, err := tx.EventsByTime(1, ts, forward, limit)
		found = names(list)
		return err
	})
	return found
}

func names(list []persistence.Event) (all string) {
	for _, e := range list {
		all += strings.TrimPrefix(string(e.ID), "$")
	}
	return all
}

func testByTime(t *testing.T, do func(func(Events) error)) {
	elsewhere := standing("z", 20)
	elsewhere.RoomNID = 2
	add(t, do, standing("d", 30), standing("a", math.MinInt64), standing("b", 20), elsewhere, standing("c", 20),
		standing("e", math.MaxInt64))
	for _, tt := range []struct {
		ts      int64
		forward bool
		limit   int
		want    string
	}{
		{20, true, 10, "bcde"},
		{20, true, 3, "bcd"},
		{21, true, 1, "d"},
		{20, false, 10, "cba"},
		{19, false, 10, "a"},
		{29, false, 1, "c"},
		{math.MinInt64, true, 10, "abcde"},
		{math.MinInt64, false, 10, "a"},
		{math.MaxInt64, true, 10, "e"},
		{math.MaxInt64, false, 10, "edcba"},
		{20, true, 0, ""},
	} {
		if got := byTime(t, do, tt.ts, tt.forward, tt.limit); got != tt.want {
			t.Errorf("at %d, forward %t, at most %d: %q, want %q", tt.ts, tt.forward, tt.limit, got, tt.want)
		}
	}
}

// An event has its place by time while it is in the graph and accepted or soft-failed, however it came to that.
func testStands(t *testing.T, do func(func(Events) error)) {
	staged := persistence.Event{RoomNID: 1, ID: "$s", TS: 5, JSON: []byte(`{}`)}
	outlier := persistence.Event{RoomNID: 1, ID: "$o", TS: 6, Outcome: persistence.OutcomeAccepted, Past: 2, JSON: []byte(`{}`)}
	nids := add(t, do, staged, outlier)
	for _, step := range []struct {
		event   int // which of the two is settled
		outcome int
		inGraph bool
		want    string
	}{
		{0, persistence.OutcomeStaged, false, ""},
		{0, persistence.OutcomeSoftFailed, true, "s"},
		{0, persistence.OutcomeRejected, true, ""},
		{0, persistence.OutcomeAccepted, true, "s"},
		{1, persistence.OutcomeAccepted, false, "s"},
		{1, persistence.OutcomeAccepted, true, "so"}, // its history was fetched
	} {
		row := []persistence.Event{staged, outlier}[step.event]
		row.NID, row.Outcome = nids[step.event], step.outcome
		if step.inGraph {
			row.Before, row.After = []byte("s"), []byte("s")
		}
		do(func(tx Events) error { return tx.SettleEvent(row) })
		if got := byTime(t, do, 0, true, 10); got != step.want {
			t.Errorf("after event %d became %d, in the graph %t: %q, want %q", step.event, step.outcome, step.inGraph, got, step.want)
		}
	}
}

func testByNumber(t *testing.T, do func(func(Events) error)) {
	b := persistence.Event{RoomNID: 1, ID: "$b", TS: 1, JSON: []byte(`{"n":1}`)}
	elsewhere := standing("z", 3)
	elsewhere.RoomNID = 2
	nids := add(t, do, standing("a", 9), b, elsewhere, standing("c", 4))
	for _, tt := range []struct {
		from  int64
		limit int
		want  string
	}{{0, 10, "abc"}, {0, 2, "ab"}, {nids[0], 10, "bc"}, {nids[1], 10, "c"}, {nids[3], 10, ""}} {
		do(func(tx Events) error {
			list, err := tx.RoomEventsFrom(1, tt.from, tt.limit)
			if got := names(list); got != tt.want {
				t.Errorf("from %d, at most %d: %q, want %q", tt.from, tt.limit, got, tt.want)
			}
			return err
		})
	}
	do(func(tx Events) error {
		list, err := tx.RoomEventsFrom(1, nids[0], 1)
		if err != nil || len(list) != 1 {
			return fmt.Errorf("read b: %d events, %w", len(list), err)
		}
		got := list[0]
		got.Room, got.RoomVersion = "", ""
		want := b
		want.NID = nids[1]
		if !reflect.DeepEqual(got, want) {
			t.Errorf("b is read as %+v, want %+v", got, want)
		}
		return nil
	})
}

// History is what was accepted in the graph as such. However an event is made, it can be stored.
func testByDepth(t *testing.T, do func(func(Events) error)) {
	history := func(name string, depth int64) persistence.Event {
		e := standing(name, 1)
		e.Past, e.JSON = 2, fmt.Appendf(nil, `{"depth":%d}`, depth)
		return e
	}
	deep := history("x", 0)
	deep.JSON = []byte(`{"content":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `,"depth":7}`)
	outlier, soft, elsewhere := history("o", 4), history("s", 4), history("z", 4)
	outlier.Before, outlier.After, soft.Outcome, elsewhere.RoomNID = nil, nil, persistence.OutcomeSoftFailed, 2
	nids := add(t, do, history("c", 5), history("a", 3), deep, outlier, history("d", 5), soft, elsewhere, standing("l", 4), history("b", 4))
	all := persistence.HistoryPlace{Depth: math.MaxInt64}
	for _, tt := range []struct {
		from, to persistence.HistoryPlace
		forward  bool
		limit    int
		want     string
	}{
		{persistence.HistoryPlace{}, all, true, 10, "xabcd"},
		{persistence.HistoryPlace{}, all, false, 10, "dcbax"},
		{persistence.HistoryPlace{}, all, false, 2, "dc"},
		{persistence.HistoryPlace{Depth: 4}, all, true, 2, "bc"},
		{persistence.HistoryPlace{}, persistence.HistoryPlace{Depth: 5}, false, 10, "bax"},
		{persistence.HistoryPlace{}, persistence.HistoryPlace{Depth: 5, NID: nids[4]}, false, 10, "cbax"},
		{persistence.HistoryPlace{Depth: 5, NID: nids[4]}, all, true, 10, "d"},
		{persistence.HistoryPlace{}, all, false, 0, ""},
	} {
		do(func(tx Events) error {
			list, err := tx.(History).RoomHistory(1, tt.from, tt.to, tt.forward, tt.limit)
			if got := names(list); got != tt.want {
				t.Errorf("from %v to %v, forward %t, at most %d: %q, want %q", tt.from, tt.to, tt.forward, tt.limit, got, tt.want)
			}
			return err
		})
	}
}
