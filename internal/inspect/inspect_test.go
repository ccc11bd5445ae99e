// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
	"github.com/strata-matrix/strata/transport/signing"
)

// bench is a store that a test fills by hand.
type bench struct {
	*testing.T
	store *persistence.Store
	look  *Inspector
	key   signing.Key
	v     *event.Version
	room  persistence.Room
}

func newBench(t *testing.T) *bench {
	t.Helper()
	store, err := persistence.Open(t.Context(), persistence.Options{
		Path: filepath.Join(t.TempDir(), "s.db"), ServerName: "one.example", NoSync: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	key, err := signing.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	v, _ := event.VersionOf("11")
	return &bench{T: t, store: store, look: New(store), key: key, v: v, room: persistence.Room{
		ID: "!tea:one.example", Version: "11", Membership: persistence.RoomJoined,
	}}
}

func (b *bench) update(f func(*persistence.Tx) error) {
	b.Helper()
	if err := b.store.Update(b.Context(), f); err != nil {
		b.Fatal(err)
	}
}

// putRoom stores the room's head.
func (b *bench) putRoom() {
	b.Helper()
	b.update(func(tx *persistence.Tx) (err error) {
		b.room.NID, err = tx.PutRoom(b.room)
		return err
	})
}

// add stores an event on the given parents; without a position it is soft-failed.
func (b *bench) add(body string, delivered bool, stateKey *string, parents ...*event.Event) *event.Event {
	b.Helper()
	p := event.Proto{
		RoomID: b.room.ID, Sender: "@alice:one.example", Type: "m.room.message", StateKey: stateKey,
		Content: fmt.Appendf(nil, `{"body":%q}`, body), Depth: 1, OriginServerTS: 1000,
	}
	if stateKey != nil {
		p.Type = "m.room.name"
		p.Content = fmt.Appendf(nil, `{"name":%q}`, body)
	}
	for _, parent := range parents {
		p.PrevEvents = append(p.PrevEvents, parent.Ref())
		p.Depth = max(p.Depth, parent.Depth()+1)
	}
	e, err := event.Build(b.v, p, "one.example", b.key)
	if err != nil {
		b.Fatal(err)
	}
	b.update(func(tx *persistence.Tx) error {
		row := persistence.Event{
			RoomNID: b.room.NID, ID: e.ID(), Outcome: persistence.OutcomeSoftFailed, Before: make([]byte, 32), After: make([]byte, 32), JSON: e.JSON(),
		}
		if delivered {
			row.Outcome = persistence.OutcomeAccepted
			if row.Position, err = tx.NextPosition(); err != nil {
				return err
			}
		}
		nid, _, err := tx.AddEvent(row)
		b.room.Extremities = []int64{nid}
		return err
	})
	return e
}

func bodies(t *testing.T, events []Event, err error) (list []string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		var content struct{ Body, Name string }
		if err := json.Unmarshal(e.Content, &content); err != nil {
			t.Fatal(err)
		}
		list = append(list, content.Body+content.Name)
	}
	return list
}

// A timeline has the accepted events by position, also those behind a soft-failed one, whatever the shape of the graph:
//
//	a ── b ── (soft) ── d ── f
//	 └── c ─────────────────┘
func TestTimeline(t *testing.T) {
	b := newBench(t)
	b.putRoom()
	empty := ""
	first := b.add("a", true, nil)
	second := b.add("b", true, nil, first)
	third := b.add("c", true, &empty, first)
	soft := b.add("soft", false, nil, second)
	fourth := b.add("d", true, nil, soft)
	b.add("f", true, nil, fourth, third)
	b.putRoom()
	for name, test := range map[string]struct {
		query TimelineQuery
		want  []string
	}{
		"all":      {TimelineQuery{}, []string{"a", "b", "c", "d", "f"}},
		"newest":   {TimelineQuery{Limit: 2}, []string{"d", "f"}},
		"after":    {TimelineQuery{After: 2}, []string{"c", "d", "f"}},
		"before":   {TimelineQuery{Before: 3, Limit: 1}, []string{"b"}},
		"messages": {TimelineQuery{Types: []string{"m.room.message"}, Limit: 3}, []string{"b", "d", "f"}},
		"none":     {TimelineQuery{After: 5}, nil},
	} {
		test.query.RoomID = string(b.room.ID)
		events, err := b.look.Timeline(t.Context(), test.query)
		if diff := cmp.Diff(test.want, bodies(t, events, err)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if events == nil {
			t.Errorf("%s: nil, which is null in JSON", name)
		}
	}
}

func TestRoom(t *testing.T) {
	b := newBench(t)
	b.putRoom()
	empty := ""
	name := b.add("Tea", true, &empty)
	root, tree := state.Build(map[event.StateKey]ident.EventID{{Type: "m.room.name"}: name.ID()})
	b.room.State = root[:]
	b.update(func(tx *persistence.Tx) error {
		for _, n := range tree {
			if err := tx.AddStateNode(n.Hash[:], n.Data); err != nil {
				return err
			}
		}
		if err := tx.SetRoomServer(b.room.NID, "two.example", 3); err != nil {
			return err
		}
		if err := tx.AddGap(b.room.NID, persistence.Gap{Event: "$gone", Server: "b.example"}); err != nil {
			return err
		}
		return tx.SetRoomServer(b.room.NID, "one.example", 1)
	})
	b.putRoom()
	got, err := b.look.Room(t.Context(), string(b.room.ID), true)
	if err != nil {
		t.Fatal(err)
	}
	want := RoomDetail{
		Room: Room{
			ID: "!tea:one.example", Name: "Tea", Version: "11", Membership: "joined", Members: 4, Servers: 2,
			Extremities: []ident.EventID{name.ID()}, Depth: 1,
		},
		ServerList: []RoomServer{{"one.example", 1}, {"two.example", 3}},
		Missing:    []ident.EventID{"$gone"},
		State: []Event{{
			EventID: string(name.ID()), RoomID: "!tea:one.example", RoomVersion: "11", Type: "m.room.name", Sender: "@alice:one.example",
			StateKey: &empty, Content: json.RawMessage(`{"name":"Tea"}`), OriginTS: 1000, Depth: 1, Outcome: "accepted", Position: 1,
			PrevEvents: []ident.EventID{}, AuthEvents: []ident.EventID{},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	rooms, err := b.look.Rooms(t.Context())
	if diff := cmp.Diff([]Room{want.Room}, rooms); diff != "" || err != nil {
		t.Errorf("rooms: %v (-want +got):\n%s", err, diff)
	}
	for id, want := range map[string]error{"!other:one.example": ErrNotFound, "tea": ErrQuery} {
		if _, err := b.look.Room(t.Context(), id, false); !errors.Is(err, want) {
			t.Errorf("room %s: %v, want %v", id, err, want)
		}
	}
}

func TestEventWithVerdict(t *testing.T) {
	b := newBench(t)
	b.putRoom()
	e := b.add("soft", false, nil)
	checks, err := json.Marshal([]pdu.Check{{ID: "P-25", OK: true, Rule: "P-25"}, {ID: "P-29", Rule: "P-51", Detail: "not joined"}})
	if err != nil {
		t.Fatal(err)
	}
	dropped, err := json.Marshal([]pdu.Check{{ID: "P-26", Rule: "P-14", Detail: "bad signature"}})
	if err != nil {
		t.Fatal(err)
	}
	b.update(func(tx *persistence.Tx) error {
		err := tx.PutVerdict(persistence.Verdict{
			Event: e.ID(), Room: b.room.ID, Outcome: persistence.OutcomeSoftFailed, Checks: checks, Origin: "two.example",
			ReceivedAt: 1500, JudgedAt: 1600,
		})
		if err != nil {
			return err
		}
		return tx.PutVerdict(persistence.Verdict{
			Event: "$dropped", Room: b.room.ID, Outcome: persistence.OutcomeDropped, Checks: dropped, Origin: "two.example",
		})
	})
	got, err := b.look.Event(t.Context(), string(e.ID()))
	if err != nil {
		t.Fatal(err)
	}
	want := &Verdict{
		Outcome: "soft-failed", Judged: 1600, Arrival: Arrival{Peer: "two.example", Received: 1500, Lag: 500},
		Checks: []Check{{1, "P-25", true, "P-25", ""}, {2, "P-29", false, "P-51", "not joined"}},
	}
	if diff := cmp.Diff(want, got.Verdict); diff != "" || got.Outcome != "soft-failed" || got.Position != 0 || got.Outlier {
		t.Errorf("%+v (-want +got):\n%s", got, diff)
	}
	if string(got.PDU) != string(e.JSON()) {
		t.Errorf("pdu %s, want %s", got.PDU, e.JSON())
	}
	gone, err := b.look.Event(t.Context(), "$dropped")
	if err != nil || gone.Outcome != "dropped" || gone.EventID != "$dropped" || gone.PDU != nil || gone.Verdict.Checks[0].Rule != "P-14" {
		t.Errorf("dropped event: %+v, %v", gone, err)
	}
	if _, err := b.look.Event(t.Context(), "$unknown"); !errors.Is(err, ErrNotFound) {
		t.Errorf("unknown event: %v", err)
	}
}

// receive and send store transactions at a time in ms.
func (b *bench) receive(origin, id string, at int64, reply string) {
	b.Helper()
	b.update(func(tx *persistence.Tx) error {
		_, err := tx.KeepReply(persistence.ReceivedTransaction{
			Origin: ident.ServerName(origin), TxnID: id, PDUs: 1, ReceivedAt: at, DurationUS: 2000, Reply: []byte(reply),
		})
		return err
	})
}

func (b *bench) send(destination, id string, at int64, body string) persistence.SentTransaction {
	b.Helper()
	var sent persistence.SentTransaction
	b.update(func(tx *persistence.Tx) (err error) {
		server := ident.ServerName(destination)
		_, err = tx.Enqueue(persistence.Outbound{Kind: persistence.KindEDU, Content: []byte(`{}`), QueuedAt: at}, []ident.ServerName{server})
		if err == nil {
			sent, err = tx.Freeze(persistence.SentTransaction{Destination: server, TxnID: id, Body: []byte(body), PDUs: 1, FrozenAt: at})
		}
		return err
	})
	return sent
}

func TestTransactions(t *testing.T) {
	b := newBench(t)
	const hour = int64(time.Hour / time.Millisecond)
	b.receive("two.example", "in1", 1*hour, `{"pdus":{}}`)
	b.send("two.example", "out1", 2*hour, `{}`)
	b.send("three.example", "out2", 3*hour, `{}`)
	b.receive("two.example", "in2", 4*hour, `{"pdus":{}}`)
	for name, test := range map[string]struct {
		query TransactionQuery
		want  []string
	}{
		"all":       {TransactionQuery{}, []string{"in2", "out2", "out1", "in1"}},
		"limited":   {TransactionQuery{Limit: 3}, []string{"in2", "out2", "out1"}},
		"in":        {TransactionQuery{Direction: In}, []string{"in2", "in1"}},
		"out":       {TransactionQuery{Direction: Out}, []string{"out2", "out1"}},
		"peer":      {TransactionQuery{Peer: "two.example"}, []string{"in2", "out1", "in1"}},
		"nobody":    {TransactionQuery{Peer: "nobody.example"}, nil},
		"since":     {TransactionQuery{Since: 2 * hour}, []string{"in2", "out2", "out1"}},
		"until":     {TransactionQuery{Until: 2 * hour}, []string{"out1", "in1"}},
		"between":   {TransactionQuery{Since: 2 * hour, Until: 3 * hour}, []string{"out2", "out1"}},
		"of a peer": {TransactionQuery{Peer: "two.example", Direction: Out, Since: hour}, []string{"out1"}},
	} {
		list, err := b.look.Transactions(t.Context(), test.query)
		var got []string
		for _, row := range list {
			got = append(got, row.ID)
		}
		if diff := cmp.Diff(test.want, got); diff != "" || err != nil || list == nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
	for _, q := range []TransactionQuery{{Direction: "sideways"}, {Since: 2, Until: 1}} {
		if _, err := b.look.Transactions(t.Context(), q); !errors.Is(err, ErrQuery) {
			t.Errorf("%+v: %v, want ErrQuery", q, err)
		}
	}
}

// A list that is longer than a page has every row once, and before goes on where it ended.
func TestTransactionPages(t *testing.T) {
	b := newBench(t)
	const total = 2*page + page/2
	for n := range total {
		if n%3 == 0 {
			b.send("two.example", fmt.Sprint(n), int64(n), `{}`)
		} else {
			b.receive("two.example", fmt.Sprint(n), int64(n), `{}`)
		}
	}
	var got []string
	before := int64(0)
	for {
		list, err := b.look.Transactions(t.Context(), TransactionQuery{Before: before, Limit: page - 1})
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		for _, row := range list {
			got = append(got, row.ID)
		}
		before = list[len(list)-1].Position
	}
	var want []string
	for n := range total {
		want = append(want, fmt.Sprint(total-1-n))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTransactionDetail(t *testing.T) {
	b := newBench(t)
	b.putRoom()
	stored, refused := b.add("a", true, nil), b.add("b", true, nil)
	sent := b.send("two.example", "x", 10, fmt.Sprintf(`{"pdus":[%s,%s,{"room_id":"!else:where","type":"t"}]}`, stored.JSON(), refused.JSON()))
	reply := fmt.Sprintf(`{"pdus":{%q:{},%q:{"error":"no"}}}`, stored.ID(), refused.ID())
	b.update(func(tx *persistence.Tx) error {
		failed := persistence.Attempt{Number: 1, StartedAt: 20, DurationUS: 5, Class: "timeout", Phase: "reply", Message: "no answer"}
		if err := tx.RecordFailure(sent, failed); err != nil {
			return err
		}
		return tx.RecordSuccess(sent, persistence.Attempt{Number: 2, StartedAt: 25, DurationUS: 5, Class: "ok", Status: 200}, 30, []byte(reply))
	})
	b.receive("three.example", "x", 40, `{"pdus":{"$new":{"error":"bad"},"`+string(stored.ID())+`":{}}}`)

	if _, err := b.look.Transaction(t.Context(), TransactionRef{ID: "x"}); !errors.Is(err, ErrQuery) {
		t.Errorf("an ambiguous id: %v, want ErrQuery", err)
	}
	if _, err := b.look.Transaction(t.Context(), TransactionRef{ID: "x", Peer: "four.example"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown peer: %v, want ErrNotFound", err)
	}
	out, err := b.look.Transaction(t.Context(), TransactionRef{ID: "x", Direction: Out})
	if err != nil {
		t.Fatal(err)
	}
	room := string(b.room.ID)
	wantResults := []PDUResult{
		{EventID: string(stored.ID()), RoomID: room, Type: "m.room.message", Outcome: "accepted"},
		{EventID: string(refused.ID()), RoomID: room, Type: "m.room.message", Outcome: "accepted", Error: "no"},
		{RoomID: "!else:where", Type: "t"},
	}
	if diff := cmp.Diff(wantResults, out.Results); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	wantTries := []Attempt{{1, 20, 5, "timeout", "reply", 0, "no answer"}, {2, 25, 5, "ok", "", 200, ""}}
	if diff := cmp.Diff(wantTries, out.Tries); diff != "" {
		t.Errorf("tries (-want +got):\n%s", diff)
	}
	if out.State != Answered || out.Failed != 1 || out.Attempts != 2 || out.Ended != 30 || string(out.Reply) != reply {
		t.Errorf("outbound transaction %+v", out.Transaction)
	}
	in, err := b.look.Transaction(t.Context(), TransactionRef{ID: "x", Peer: "three.example"})
	if err != nil || len(in.Results) != 2 || in.Failed != 1 || in.Body != nil || len(in.Tries) != 0 {
		t.Errorf("inbound transaction %+v, %v", in, err)
	}
}

// Replies come from other servers: nothing in them may break the answer.
func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"pdus":{"$a":{"error":"x"},"$b":{}}}`))
	f.Add([]byte(`{"pdus":{"$a":5}}`))
	f.Add([]byte(`not JSON`))
	f.Fuzz(func(t *testing.T, reply []byte) {
		replyResults(reply)
		if raw := validJSON(reply); len(raw) > 0 {
			if _, err := json.Marshal(raw); err != nil {
				t.Error(err)
			}
		}
	})
}
