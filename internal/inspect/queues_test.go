// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// An age belongs to the first bound that it is below; the last place is for what is as old as the last bound, or older.
func TestAgeOf(t *testing.T) {
	for age, want := range map[time.Duration]int{
		0: 0, 59 * time.Second: 0, time.Minute: 1, 5*time.Minute - 1: 1, 5 * time.Minute: 2, 639 * time.Minute: 8, 640 * time.Minute: 9,
		900 * time.Hour: 9, -time.Hour: 0, // a clock was set
	} {
		if got := ageOf(age.Milliseconds()); got != want {
			t.Errorf("%s is in place %d, want %d", age, got, want)
		}
	}
}

// fillQueues queues, now and before: two events of room r and an EDU for a and b, 3 and 100 minutes old; one of room s for b and c, half
// a minute old. a has all of the first set but the last; of c everything failed; d is past everything and has one item parked.
func fillQueues(b *bench) {
	now := time.Now().UnixMilli()
	minutes := func(n int64) int64 { return now - n*60_000 - 30_000 }
	var positions []persistence.Position
	b.update(func(tx *persistence.Tx) error {
		for _, item := range []struct {
			persistence.Outbound
			to []ident.ServerName
		}{
			{persistence.Outbound{Kind: persistence.KindPDU, RoomID: "!r:x", EventID: "$1", QueuedAt: minutes(100)}, []ident.ServerName{"a.example", "b.example"}},
			{persistence.Outbound{Kind: persistence.KindPDU, RoomID: "!r:x", EventID: "$2", QueuedAt: minutes(3)}, []ident.ServerName{"a.example", "b.example"}},
			{persistence.Outbound{Kind: persistence.KindEDU, Content: []byte(`{"edu_type":"m.test"}`), QueuedAt: minutes(3)}, []ident.ServerName{"a.example", "b.example"}},
			{persistence.Outbound{Kind: persistence.KindPDU, RoomID: "!s:x", EventID: "$3", QueuedAt: minutes(0)}, []ident.ServerName{"b.example", "c.example"}},
		} {
			if item.Content == nil {
				item.Content = []byte(`{"type":"m.room.message"}`)
			}
			queued, err := tx.Enqueue(item.Outbound, item.to)
			if err != nil {
				return err
			}
			positions = append(positions, queued.Position)
		}
		if err := tx.AddDestination("d.example", positions[3]); err != nil {
			return err
		}
		if err := tx.SetDestination(persistence.Destination{Server: "a.example", Cursor: positions[1], LastSuccess: now}); err != nil {
			return err
		}
		err := tx.SetDestination(persistence.Destination{
			Server: "c.example", Cursor: positions[3] - 1, Failures: 2, RetryAt: now + 60_000, LastFailure: now, LastClass: "tls",
		})
		if err != nil {
			return err
		}
		txn, err := tx.Freeze(persistence.SentTransaction{
			Destination: "c.example", TxnID: "t1", Body: []byte(`{}`), PDUs: 1, Through: positions[3], Items: positions[3:], FrozenAt: now,
		})
		if err != nil {
			return err
		}
		if err := tx.RecordFailure(txn, persistence.Attempt{Number: 1, StartedAt: now, Class: "tls", Phase: "connect", Message: "expired"}); err != nil {
			return err
		}
		_, err = tx.Park(persistence.Parked{
			Outbound: persistence.Outbound{Position: positions[0], Kind: persistence.KindPDU, RoomID: "!r:x", EventID: "$1", Content: []byte(`{"type":"m.x"}`), QueuedAt: minutes(100)},
			Server:   "d.example", ParkedAt: now, RetryAt: now + 3_600_000, Class: "http4xx_content", Status: 400, Message: "no thanks",
		})
		if err != nil {
			return err
		}
		return tx.AddDrop(persistence.Drop{Server: "b.example", Through: positions[3], Event: "$2"})
	})
}

func TestQueues(t *testing.T) {
	b := newBench(t)
	fillQueues(b)
	row := func(name, state string, pdus, edus, rooms int, ages ...int) Queue {
		return Queue{
			Destination: name, State: state, Items: pdus + edus, PDUs: pdus, EDUs: edus, Rooms: rooms,
			Ages: append(ages, make([]int, 10-len(ages))...),
		}
	}
	// by age: below 1, 5, 10, 20, 40, 80, 160 minutes …
	first, second, third := row("a.example", QueueSending, 0, 1, 0, 0, 1), row("b.example", QueueSending, 2, 1, 2, 1, 1, 0, 0, 0, 0, 1), row("c.example", QueueRetry, 1, 0, 1, 1)
	third.Failures, third.Class, third.Error, third.TxnID, third.Attempts = 2, "tls", "expired", "t1", 1
	fourth := row("d.example", QueueParked, 0, 0, 0)
	fourth.Parked = 1
	ofRoom := row("b.example", QueueSending, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1)
	for name, test := range map[string]struct {
		filter Filter
		want   []Queue
	}{
		"all":          {Filter{}, []Queue{second, first, third, fourth}},
		"pattern":      {Filter{Server: "?.example", State: QueueRetry}, []Queue{third}},
		"class":        {Filter{Class: "tls"}, []Queue{third}},
		"another":      {Filter{Class: "dns"}, []Queue{}},
		"room":         {Filter{RoomID: "!r:x"}, []Queue{ofRoom}},
		"limit":        {Filter{Limit: 1}, []Queue{second}},
		"what is idle": {Filter{State: QueueIdle}, []Queue{}},
	} {
		got, err := b.look.Queues(t.Context(), test.filter)
		if err != nil {
			t.Fatal(err)
		}
		times := cmpopts.IgnoreFields(Queue{}, "Oldest", "NextTry", "LastSuccess", "LastFailure")
		if diff := cmp.Diff(test.want, got, times); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	shape, err := b.look.QueueShape(t.Context(), Filter{Limit: 1})
	if err != nil || shape.Items != 5 || shape.More != 3 || len(shape.Queues) != 1 {
		t.Errorf("shape has %d items and %d queues more, %v; want 5 and 3", shape.Items, shape.More, err)
	}
	if want := []int{2, 2, 0, 0, 0, 0, 1, 0, 0, 0}; !cmp.Equal(shape.Ages, want) {
		t.Errorf("ages %v, want %v", shape.Ages, want)
	}
	for _, f := range []Filter{{Server: "/"}, {State: "odd"}, {Since: 2, Until: 1}, {RoomID: "r"}} {
		if _, err := b.look.Queues(t.Context(), f); !errors.Is(err, ErrQuery) {
			t.Errorf("%+v: %v, want a bad query", f, err)
		}
	}
}

func TestQueueDetail(t *testing.T) {
	b := newBench(t)
	fillQueues(b)
	b.update(func(tx *persistence.Tx) error {
		return tx.SetHold(persistence.Hold{Pattern: "d*", Reason: "why", Since: 5})
	})
	d, err := b.look.Queue(t.Context(), Filter{Server: "d.example"})
	if err != nil || d.State != QueueHeld || d.Hold.Reason != "why" || len(d.Refused) != 1 || d.Refused[0].Message != "no thanks" || d.Refused[0].Type != "m.x" {
		t.Errorf("parked: %+v, %v", d, err)
	}
	c, err := b.look.Queue(t.Context(), Filter{Server: "c.example"})
	if err != nil || len(c.Waiting) != 1 || !c.Waiting[0].Frozen || c.Waiting[0].EventID != "$3" || len(c.Tries) != 1 || c.Tries[0].Phase != "connect" {
		t.Errorf("failing: %+v, %v", c, err)
	}
	two, err := b.look.Queue(t.Context(), Filter{Server: "b.example"})
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, item := range two.Waiting {
		kinds = append(kinds, item.Kind+" "+item.Type)
	}
	if want := []string{"pdu m.room.message", "edu m.test", "pdu m.room.message"}; !cmp.Equal(kinds, want) {
		t.Errorf("waiting %v, want %v", kinds, want)
	}
	rooms := cmpopts.IgnoreFields(QueueRoom{}, "Oldest")
	if want := []QueueRoom{{RoomID: "!r:x", Items: 1}, {RoomID: "!s:x", Items: 1}}; !cmp.Equal(two.ByRoom, want, rooms) {
		t.Errorf("rooms %+v, want %+v", two.ByRoom, want)
	}
	rules, err := b.look.HoldRules(t.Context(), Filter{})
	if want := []HoldRule{{"d*", "why", 5, 1}}; err != nil || !cmp.Equal(rules, want) {
		t.Errorf("rules %+v, %v, want %+v", rules, err, want)
	}
}

// What a drop would take, by any filter, parked items included; what was dropped already is not there any more.
func TestStretch(t *testing.T) {
	b := newBench(t)
	fillQueues(b)
	for name, test := range map[string]struct {
		filter        Filter
		kind          int
		event         ident.EventID
		servers       transaction.Names
		items, parked int
	}{
		"all":       {Filter{}, 0, "", transaction.Names{"a.example": true, "b.example": true, "c.example": true, "d.example": true}, 6, 1},
		"a room":    {Filter{RoomID: "!r:x"}, 0, "", transaction.Names{"b.example": true, "d.example": true}, 2, 1},
		"EDUs":      {Filter{}, persistence.KindEDU, "", transaction.Names{"a.example": true, "b.example": true}, 2, 0},
		"an event":  {Filter{}, 0, "$2", transaction.Names{}, 0, 0},
		"a state":   {Filter{State: QueueRetry}, 0, "", transaction.Names{"c.example": true}, 1, 0},
		"old ones":  {Filter{Until: time.Now().Add(-time.Hour).UnixMilli()}, 0, "", transaction.Names{"b.example": true, "d.example": true}, 2, 1},
		"a pattern": {Filter{Server: "a*"}, 0, "", transaction.Names{"a.example": true}, 1, 0},
	} {
		got, err := b.look.Stretch(t.Context(), test.filter, test.kind, test.event)
		if err != nil || got.Items != test.items || got.Parked != test.parked || !cmp.Equal(got.Servers, test.servers) {
			t.Errorf("%s: %+v, %v; want %d items, %d of them parked, of %v", name, got, err, test.items, test.parked, test.servers)
		}
	}
}
