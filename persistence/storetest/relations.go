// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Relations is a job's access to which events relate to which, of rooms 1 and 2.
type Relations interface {
	AddEvent(e persistence.Event) (nid int64, added bool, err error)
	NextPosition() (persistence.Position, error)
	RedactEvent(nid, by int64, json []byte) error
	Relate(r persistence.Relation) error
	Related(q persistence.RelatedQuery) ([]persistence.Related, error)
	Parents(ids []ident.EventID, kinds []string) (map[ident.EventID]bool, error)
	Threads(room int64, before persistence.HistoryPlace, limit int) ([]persistence.Thread, error)
}

// relatives adds events that relate to $root, each "name depth kind room": a to e, some with positions, from 1 on.
func relatives(t *testing.T, do func(job func(Relations) error)) (nids []int64) {
	t.Helper()
	do(func(tx Relations) error {
		for _, x := range []struct {
			name  string
			depth int64
			kind  string
			room  int64
			live  bool
		}{
			{"a", 5, "thread", 1, true},
			{"b", 9, "edit", 1, true},
			{"c", 5, "thread", 1, false}, // history
			{"d", 2, "thread", 1, false},
			{"e", 7, "thread", 2, false}, // of another room
			{"f", 8, "thread", 1, false}, // redacted
		} {
			e := standing(x.name, x.depth)
			e.RoomNID = x.room
			if x.live {
				at, err := tx.NextPosition()
				if err != nil {
					return err
				}
				e.Position = at
			}
			nid, _, err := tx.AddEvent(e)
			if err != nil {
				return err
			}
			nids = append(nids, nid)
			r := persistence.Relation{
				Room: x.room, Parent: "$root", Kind: x.kind, Thread: x.kind == "thread", Event: persistence.HistoryPlace{Depth: x.depth, NID: nid},
				Sender: ident.UserID("@" + x.name + ":a.example"),
			}
			for range 2 { // it may be noted again
				if err := tx.Relate(r); err != nil {
					return err
				}
			}
		}
		return tx.RedactEvent(nids[5], nids[0], []byte(`{}`))
	})
	return nids
}

// RunRelations holds relations to their contract: they are listed as in the graph, those that hold.
func RunRelations(t *testing.T, do func(job func(Relations) error)) {
	t.Helper()
	nids := relatives(t, do)
	all := persistence.RelatedQuery{Room: 1, Parent: "$root", Through: math.MaxInt64, Limit: 10}
	for _, tt := range []struct {
		change func(q *persistence.RelatedQuery)
		want   string
	}{
		{func(*persistence.RelatedQuery) {}, "bcad"},
		{func(q *persistence.RelatedQuery) { q.Forward = true }, "dacb"},
		{func(q *persistence.RelatedQuery) { q.Limit = 2 }, "bc"},
		{func(q *persistence.RelatedQuery) { q.Kind = "thread" }, "cad"},
		{func(q *persistence.RelatedQuery) { q.Kind, q.Limit = "thread", 1 }, "c"},
		{func(q *persistence.RelatedQuery) { q.Sender = "@a:a.example" }, "a"},
		{func(q *persistence.RelatedQuery) { q.To = persistence.HistoryPlace{Depth: 5, NID: nids[2]} }, "ad"},
		{func(q *persistence.RelatedQuery) { q.From = persistence.HistoryPlace{Depth: 5, NID: nids[2]} }, "bc"},
		{func(q *persistence.RelatedQuery) { q.Through = 1 }, "cad"},
		{func(q *persistence.RelatedQuery) { q.After = 1 }, "b"},
		{func(q *persistence.RelatedQuery) { q.Room = 2 }, "e"},
		{func(q *persistence.RelatedQuery) { q.Parent = "$a" }, ""},
	} {
		q := all
		tt.change(&q)
		do(func(tx Relations) error {
			list, err := tx.Related(q)
			got := ""
			for _, one := range list {
				got += string(one.ID[1:])
				if want := ident.UserID("@" + string(one.ID[1:]) + ":a.example"); one.Sender != want || one.TS != one.Place.Depth {
					t.Errorf("%+v of %s", one, want)
				}
			}
			if got != tt.want {
				t.Errorf("%+v: %q, want %q", q, got, tt.want)
			}
			return err
		})
	}
	do(func(tx Relations) error {
		ids := []ident.EventID{"$a", "$root"}
		for n := range 40 {
			ids = append(ids, ident.EventID(fmt.Sprint("$none", n)))
		}
		slices.Reverse(ids)
		for _, tt := range []struct {
			kinds []string
			want  map[ident.EventID]bool
		}{
			{[]string{"edit", "reference"}, map[ident.EventID]bool{"$root": true}}, {[]string{"reference"}, map[ident.EventID]bool{}},
		} {
			if got, err := tx.Parents(ids, tt.kinds); err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("parents by %v: %v, %v", tt.kinds, got, err)
			}
		}
		return nil
	})
}

// RunThreads holds a room's threads to their contract: one for each root, that with the newest event first.
func RunThreads(t *testing.T, do func(job func(Relations) error)) {
	t.Helper()
	place := func(depth, nid int64) persistence.HistoryPlace {
		return persistence.HistoryPlace{Depth: depth, NID: nid}
	}
	do(func(tx Relations) error {
		for _, r := range []persistence.Relation{
			{Room: 1, Parent: "$one", Event: place(3, 1)}, {Room: 1, Parent: "$two", Event: place(5, 2)}, {Room: 1, Parent: "$one", Event: place(5, 3)},
			{Room: 1, Parent: "$one", Event: place(4, 4)}, {Room: 2, Parent: "$far", Event: place(9, 5)}, {Room: 1, Parent: "$three", Event: place(1, 6)},
		} {
			r.Kind, r.Thread = "thread", true
			if err := tx.Relate(r); err != nil {
				return err
			}
		}
		return tx.Relate(persistence.Relation{Room: 1, Parent: "$two", Event: place(8, 7), Kind: "edit"})
	})
	one, two, three := persistence.Thread{Root: "$one", Newest: place(5, 3)}, persistence.Thread{Root: "$two", Newest: place(5, 2)},
		persistence.Thread{Root: "$three", Newest: place(1, 6)}
	for _, tt := range []struct {
		before persistence.HistoryPlace
		limit  int
		want   []persistence.Thread
	}{
		{place(math.MaxInt64, 0), 10, []persistence.Thread{one, two, three}},
		{place(math.MaxInt64, 0), 1, []persistence.Thread{one}},
		{one.Newest, 10, []persistence.Thread{two, three}},
		{three.Newest, 10, nil},
	} {
		do(func(tx Relations) error {
			got, err := tx.Threads(1, tt.before, tt.limit)
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("before %v, at most %d: %+v, want %+v", tt.before, tt.limit, got, tt.want)
			}
			return err
		})
	}
}
