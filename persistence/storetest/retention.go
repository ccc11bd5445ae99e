// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"slices"
	"testing"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Answering is a job's access to the outbound transactions of b.example, a destination.
type Answering interface {
	Freeze(t persistence.SentTransaction) (persistence.SentTransaction, error)
	RecordSuccess(t persistence.SentTransaction, a persistence.Attempt, endedAt int64, reply []byte) error
}

// Retention is a job's access to the transactions that are over.
type Retention interface {
	Answering
	AnsweredBefore(keep int) (ms int64, err error)
	TrimSent(before int64, limit int) (forgotten int64, err error)
}

// Replies is a job's access to the replies that are kept.
type Replies interface {
	KeepReply(t persistence.ReceivedTransaction) (persistence.Position, error)
	KeptReply(origin ident.ServerName, txnID string) (t persistence.ReceivedTransaction, found bool, err error)
	ReceivedBefore(keep int) (ms int64, err error)
	TrimReceived(before int64, limit int) (forgotten int64, err error)
}

// Contact is a job's access to when others were last heard of.
type Contact interface {
	Answering
	KeepReply(t persistence.ReceivedTransaction) (persistence.Position, error)
	LastContact() (ms int64, err error)
	LatestReceived(origin ident.ServerName) (txnID string, err error)
}

// Pulls is a job's access to the servers that can be pulled from.
type Pulls interface {
	PutRoom(room persistence.Room) (nid int64, err error)
	SetRoomServer(room int64, name ident.ServerName, joined int) error
	SetStock(server ident.ServerName, until int64) error
	PullableServers(now int64) ([]ident.ServerName, error)
}

// Recalls is a job's access to what a server is given that has lost what it had: b.example, a destination. The forward extremity of
// room 1 is event 3.
type Recalls interface {
	PutRoom(room persistence.Room) (nid int64, err error)
	SetRoomServer(room int64, name ident.ServerName, joined int) error
	Recall(server ident.ServerName, from int64, limit int, nowMS int64) (queued int, next int64, err error)
	NextOutbound(server ident.ServerName, after persistence.Position, scan int, take func(persistence.Outbound) bool) (persistence.Position, bool, error)
}

// answer sends a transaction that is answered at a time, 0 for not yet.
func answer(tx Answering, id string, at int64) error {
	sent, err := tx.Freeze(persistence.SentTransaction{Destination: "b.example", TxnID: id, Body: []byte(`{}`), FrozenAt: 1})
	if err != nil || at == 0 {
		return err
	}
	return tx.RecordSuccess(sent, persistence.Attempt{Number: 1}, at, nil)
}

// RunRetention holds outbound transactions to their contract: those that were answered before a time go, a portion at a time, and what
// is not answered never does.
func RunRetention(t *testing.T, do func(job func(Retention) error)) {
	t.Helper()
	do(func(tx Retention) error {
		for _, sent := range []struct {
			id string
			at int64
		}{{"1", 400}, {"2", 100}, {"3", 300}, {"4", 200}, {"5", 0}} {
			if err := answer(tx, sent.id, sent.at); err != nil {
				return err
			}
		}
		return nil
	})
	for _, tt := range []struct {
		before    int64
		limit     int
		forgotten int64
		of        [4]int64 // then, before which times those were answered that are not among the newest 1, 2, 3, 4
	}{
		{100, 9, 0, [4]int64{400, 300, 200, 100}}, {250, 1, 1, [4]int64{400, 300, 200, 0}}, {250, 9, 1, [4]int64{400, 300, 0, 0}},
		{1000, 9, 2, [4]int64{}}, {1000, 9, 0, [4]int64{}},
	} {
		do(func(tx Retention) error {
			forgotten, err := tx.TrimSent(tt.before, tt.limit)
			if forgotten != tt.forgotten || err != nil {
				t.Errorf("before %d, at most %d: %d forgotten (%v), want %d", tt.before, tt.limit, forgotten, err, tt.forgotten)
			}
			for i, want := range tt.of {
				if got, err := tx.AnsweredBefore(i + 1); got != want || err != nil {
					t.Errorf("after those before %d: beyond the newest %d is %d (%v), want %d", tt.before, i+1, got, err, want)
				}
			}
			return nil
		})
	}
}

// RunReplies holds the replies that are kept to their contract: those of transactions that came before a time go, the oldest first.
func RunReplies(t *testing.T, do func(job func(Replies) error)) {
	t.Helper()
	do(func(tx Replies) error {
		for _, in := range []persistence.ReceivedTransaction{
			{Origin: "b.example", TxnID: "new", ReceivedAt: 300, Reply: []byte("3")}, {Origin: "b.example", TxnID: "old", ReceivedAt: 100, Reply: []byte("1")},
			{Origin: "c.example", TxnID: "old", ReceivedAt: 200, Reply: []byte("2")},
		} {
			if _, err := tx.KeepReply(in); err != nil {
				return err
			}
		}
		return nil
	})
	for _, tt := range []struct {
		before    int64
		limit     int
		forgotten int64
		left      string
		second    int64 // when the newest but one came
	}{{100, 9, 0, "123", 200}, {250, 1, 1, "23", 200}, {250, 9, 1, "3", 0}, {250, 9, 0, "3", 0}} {
		do(func(tx Replies) error {
			forgotten, err := tx.TrimReceived(tt.before, tt.limit)
			if err != nil {
				return err
			}
			left := ""
			for _, id := range [][2]string{{"b.example", "old"}, {"c.example", "old"}, {"b.example", "new"}, {"c.example", "new"}} {
				kept, _, err := tx.KeptReply(ident.ServerName(id[0]), id[1])
				if left += string(kept.Reply); err != nil {
					return err
				}
			}
			second, err := tx.ReceivedBefore(2)
			if forgotten != tt.forgotten || left != tt.left || second != tt.second {
				t.Errorf("before %d, at most %d: %d forgotten, left %q, beyond the newest %d, want %+v", tt.before, tt.limit, forgotten, left, second, tt)
			}
			return err
		})
	}
}

// RunContact holds the latest contact to its contract: what was taken from others counts, and what others took, but not what waits.
func RunContact(t *testing.T, do func(job func(Contact) error)) {
	t.Helper()
	take := func(origin ident.ServerName, id string, at int64) func(Contact) error {
		return func(tx Contact) error {
			_, err := tx.KeepReply(persistence.ReceivedTransaction{Origin: origin, TxnID: id, ReceivedAt: at, Reply: []byte(`{}`)})
			return err
		}
	}
	for _, step := range []struct {
		name   string
		job    func(Contact) error
		at     int64
		latest string // of b.example
	}{
		{"none", func(Contact) error { return nil }, 0, ""},
		{"one waits", func(tx Contact) error { return answer(tx, "1", 0) }, 0, ""},
		{"one was taken by another", func(tx Contact) error { return answer(tx, "2", 200) }, 200, ""},
		{"one came", take("b.example", "x", 300), 300, "x"},
		{"one came from a third", take("c.example", "y", 400), 400, "x"},
		{"one came, and the clock was put back", take("b.example", "z", 100), 400, "z"},
	} {
		do(func(tx Contact) error {
			if err := step.job(tx); err != nil {
				return err
			}
			at, err := tx.LastContact()
			if err != nil {
				return err
			}
			latest, err := tx.LatestReceived("b.example")
			if at != step.at || latest != step.latest {
				t.Errorf("%s: contact at %d, latest %q, want %d, %q", step.name, at, latest, step.at, step.latest)
			}
			return err
		})
	}
}

// RunPulls holds the servers to pull from to their contract: those of the rooms that we are in, but for those that are known not to
// understand.
func RunPulls(t *testing.T, do func(job func(Pulls) error)) {
	t.Helper()
	do(func(tx Pulls) error {
		left, err := tx.PutRoom(persistence.Room{ID: "!left:a.example", Version: "10", Membership: persistence.RoomLeft})
		if err != nil {
			return err
		}
		for _, in := range []struct {
			room   int64
			server ident.ServerName
		}{{1, "b.example"}, {1, "c.example"}, {2, "c.example"}, {left, "d.example"}} {
			if err := tx.SetRoomServer(in.room, in.server, 1); err != nil {
				return err
			}
		}
		if err := tx.SetStock("b.example", 50); err != nil {
			return err
		}
		return tx.SetStock("b.example", 100)
	})
	for _, tt := range []struct {
		now  int64
		want []ident.ServerName
	}{{99, []ident.ServerName{"c.example"}}, {100, []ident.ServerName{"b.example", "c.example"}}} {
		do(func(tx Pulls) error {
			got, err := tx.PullableServers(tt.now)
			if !slices.Equal(got, tt.want) {
				t.Errorf("at %d: %v, want %v", tt.now, got, tt.want)
			}
			return err
		})
	}
}

// RunRecall holds to its contract what a server is given that has lost what it had: of each room that it shares with us the latest,
// once, however often it asks.
func RunRecall(t *testing.T, do func(job func(Recalls) error)) {
	t.Helper()
	do(func(tx Recalls) error {
		// Room 2 has no extremity, and the third has been left: nothing can stand for them.
		left, err := tx.PutRoom(persistence.Room{ID: "!left:a.example", Version: "10", Membership: persistence.RoomLeft, Extremities: []int64{1}})
		if err != nil {
			return err
		}
		if _, err := tx.PutRoom(persistence.Room{ID: "!alone:a.example", Version: "10", Membership: persistence.RoomJoined, Extremities: []int64{2}}); err != nil {
			return err
		}
		for _, room := range []int64{1, 2, left} {
			if err := tx.SetRoomServer(room, "b.example", 1); err != nil {
				return err
			}
		}
		return nil
	})
	for range 2 {
		for next, more := int64(0), true; more; {
			do(func(tx Recalls) (err error) {
				_, next, err = tx.Recall("b.example", next, 1, 1)
				more = next != 0
				return err
			})
		}
		do(func(tx Recalls) error {
			got, err := queued("b.example", tx.NextOutbound)
			if want := []string{"!1:a.example$3!"}; !slices.Equal(got, want) {
				t.Errorf("queued %q, want %q", got, want)
			}
			return err
		})
	}
}
