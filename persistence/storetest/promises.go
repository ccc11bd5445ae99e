// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"reflect"
	"slices"
	"testing"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Partial is a job's access to the rooms whose state is not whole.
type Partial interface {
	PutPartial(p persistence.PartialRoom) error
	DropPartial(room int64) error
	RetryPartial(room int64, attempts int, at int64, note string) error
	PartialRooms(limit int) ([]persistence.PartialRoom, error)
}

// Again is a job's access to the events that are to be judged again.
type Again interface {
	AskAgain(room int64, id ident.EventID, due int64) error
	AskedAgain(room int64) (ids []ident.EventID, due int64, err error)
	JudgedAgain(room int64) error
	RoomsToJudgeAgain() ([]ident.RoomID, error)
}

// Quarantine is a job's access to the searches for what staged events miss.
type Quarantine interface {
	Stage(list ...persistence.Staging) error
	GiveUp(event int64, forget bool) error
	AddSearch(event int64, cost persistence.SearchCost, answers []persistence.SearchAnswer) error
	Search(event int64) (persistence.SearchCost, []persistence.SearchAnswer, error)
}

// Budgets is a job's access to what the searches of a room have cost.
type Budgets interface {
	SpendOnRoom(room, now, period int64, cost persistence.SearchCost) error
	SpentOnRoom(room int64) (since int64, cost persistence.SearchCost, err error)
}

// RunPartial holds rooms whose state is not whole to their contract: those first that are due first, until they are whole; a new join
// begins anew.
func RunPartial(t *testing.T, do func(job func(Partial) error)) {
	t.Helper()
	one := persistence.PartialRoom{Room: 1, ID: "!1:a.example", Event: 1, Join: "$1", First: 2, Via: "b.example"}
	two := persistence.PartialRoom{Room: 2, ID: "!2:a.example", Event: 3, Join: "$3", First: 4, Via: "c.example"}
	tried := one
	tried.Attempts, tried.RetryAt, tried.Note = 3, 500, "no answer"
	for _, step := range []struct {
		name  string
		job   func(Partial) error
		limit int
		want  []persistence.PartialRoom
	}{
		{"none", func(Partial) error { return nil }, 9, nil},
		{"two", func(tx Partial) error {
			if err := tx.PutPartial(two); err != nil {
				return err
			}
			return tx.PutPartial(one)
		}, 9, []persistence.PartialRoom{one, two}},
		{"one was tried", func(tx Partial) error { return tx.RetryPartial(1, 3, 500, "no answer") }, 9, []persistence.PartialRoom{two, tried}},
		{"as many as are asked for", func(Partial) error { return nil }, 1, []persistence.PartialRoom{two}},
		{"a room that is whole is not tried", func(tx Partial) error { return tx.RetryPartial(7, 1, 0, "") }, 9, []persistence.PartialRoom{two, tried}},
		{"one is joined again", func(tx Partial) error { return tx.PutPartial(one) }, 9, []persistence.PartialRoom{one, two}},
		{"one is whole", func(tx Partial) error { return tx.DropPartial(1) }, 9, []persistence.PartialRoom{two}},
	} {
		do(func(tx Partial) error {
			if err := step.job(tx); err != nil {
				return err
			}
			got, err := tx.PartialRooms(step.limit)
			if !reflect.DeepEqual(got, step.want) {
				t.Errorf("%s: %+v, want %+v", step.name, got, step.want)
			}
			return err
		})
	}
}

// RunAgain holds the promises to judge events again to their contract: each event once, the earliest time counts, all of a room end
// together, and no other room's.
func RunAgain(t *testing.T, do func(job func(Again) error)) {
	t.Helper()
	asked := func(name string, room, wantDue int64, want ...ident.EventID) {
		do(func(tx Again) error {
			ids, due, err := tx.AskedAgain(room)
			if slices.Sort(ids); !slices.Equal(ids, want) || due != wantDue {
				t.Errorf("%s: room %d: %v, due at %d, want %v at %d", name, room, ids, due, want, wantDue)
			}
			return err
		})
	}
	asked("nothing", 1, 0)
	do(func(tx Again) error {
		for _, ask := range []struct {
			room int64
			id   ident.EventID
			due  int64
		}{{1, "$a", 300}, {1, "$b", 250}, {1, "$a", 200}, {1, "$a", 900}, {2, "$a", 50}} {
			if err := tx.AskAgain(ask.room, ask.id, ask.due); err != nil {
				return err
			}
		}
		return nil
	})
	asked("asked", 1, 200, "$a", "$b")
	asked("asked", 2, 50, "$a")
	do(func(tx Again) error { return tx.JudgedAgain(1) })
	asked("judged", 1, 0)
	asked("judged", 2, 50, "$a")
	do(func(tx Again) error {
		rooms, err := tx.RoomsToJudgeAgain()
		if !slices.Equal(rooms, []ident.RoomID{"!2:a.example"}) {
			t.Errorf("rooms with events to judge again: %v, want the second", rooms)
		}
		return err
	})
}

// RunQuarantine holds the searches for what an event misses to their contract: costs add up, each server's last answer counts, the
// newest comes first, and all of it goes with the promise to judge the event.
func RunQuarantine(t *testing.T, do func(job func(Quarantine) error)) {
	t.Helper()
	type answers = []persistence.SearchAnswer
	said := func(server ident.ServerName, at int64, result string) persistence.SearchAnswer {
		return persistence.SearchAnswer{Server: server, AskedAt: at, Result: result}
	}
	staged := persistence.Staging{Event: 1, Room: 1, Origin: "b.example"}
	for _, step := range []struct {
		name    string
		job     func(Quarantine) error
		cost    persistence.SearchCost
		answers answers
	}{
		{"staged", func(tx Quarantine) error { return tx.Stage(staged) }, persistence.SearchCost{}, nil},
		{"sought", func(tx Quarantine) error {
			return tx.AddSearch(1, persistence.SearchCost{Requests: 2, Bytes: 30, Spent: 400}, answers{said("c", 10, "404"), said("b", 10, "timeout")})
		}, persistence.SearchCost{Requests: 2, Bytes: 30, Spent: 400}, answers{said("b", 10, "timeout"), said("c", 10, "404")}},
		{"sought again", func(tx Quarantine) error {
			return tx.AddSearch(1, persistence.SearchCost{Requests: 1, Bytes: 5, Spent: 6}, answers{said("c", 20, "ok")})
		}, persistence.SearchCost{Requests: 3, Bytes: 35, Spent: 406}, answers{said("c", 20, "ok"), said("b", 10, "timeout")}},
		{"nobody was asked", func(tx Quarantine) error { return tx.AddSearch(1, persistence.SearchCost{}, nil) },
			persistence.SearchCost{Requests: 3, Bytes: 35, Spent: 406}, answers{said("c", 20, "ok"), said("b", 10, "timeout")}},
		{"given up", func(tx Quarantine) error { return tx.GiveUp(1, false) }, persistence.SearchCost{}, nil},
	} {
		do(func(tx Quarantine) error {
			if err := step.job(tx); err != nil {
				return err
			}
			cost, got, err := tx.Search(1)
			if cost != step.cost || !slices.Equal(got, step.answers) {
				t.Errorf("%s: %+v, %+v, want %+v, %+v", step.name, cost, got, step.cost, step.answers)
			}
			return err
		})
	}
}

// RunBudgets holds the budget of a room to its contract: what is spent adds up for a period, which begins with the first expense after
// the end of the last one.
func RunBudgets(t *testing.T, do func(job func(Budgets) error)) {
	t.Helper()
	for _, step := range []struct{ room, now, requests, wantSince, want int64 }{
		{1, 1000, 2, 1000, 2}, {1, 1099, 3, 1000, 5}, {2, 1050, 7, 1050, 7}, {1, 1100, 1, 1100, 1}, {1, 1150, 1, 1100, 2}, {1, 9000, 0, 9000, 0},
	} {
		do(func(tx Budgets) error {
			cost := func(n int64) persistence.SearchCost {
				return persistence.SearchCost{Requests: int(n), Bytes: 10 * n, Spent: 100 * n}
			}
			if err := tx.SpendOnRoom(step.room, step.now, 100, cost(step.requests)); err != nil {
				return err
			}
			since, got, err := tx.SpentOnRoom(step.room)
			if since != step.wantSince || got != cost(step.want) {
				t.Errorf("room %d at %d: %+v since %d, want %+v since %d", step.room, step.now, got, since, cost(step.want), step.wantSince)
			}
			return err
		})
	}
}
