// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/trace"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/ident"
)

// pulled is the reply to a pull.
type pulled struct {
	ID          string          `json:"transaction_id"`
	Transaction json.RawMessage `json:"transaction"`
}

// pull asks as a server would.
func (b *bench) pull(origin ident.ServerName, after string) (got pulled) {
	b.t.Helper()
	synctest.Wait() // until then the question before may be on its way to its end
	query := url.Values{}
	if after != "" {
		query.Set("after", after)
	}
	reply, err := b.outbox.Routes()[0].Handle(b.t.Context(), &transport.Request{Origin: origin, Query: query})
	if err != nil {
		b.t.Fatal(err)
	}
	if len(reply.Body) > 0 {
		if err := json.Unmarshal(reply.Body, &got); err != nil {
			b.t.Fatal(err)
		}
	}
	return got
}

// What is pulled is what would be sent, under its id, and each question acknowledges the answer before: it is never sent after
// that, nor while the other side works on it.
func TestPullTakesThePlaceOfSending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		var up atomic.Bool
		b.peers.answer = func(request) (transport.Answer, error) {
			if !up.Load() {
				return transport.Answer{}, &transport.Failure{Class: "dial"}
			}
			return transport.Answer{Status: 200, Body: []byte(`{}`)}, nil
		}
		b.enqueue(0, 1, "a.example")
		time.Sleep(time.Second)
		b.enqueue(1, 101, "a.example")
		time.Sleep(time.Hour)
		up.Store(true)
		tried := b.peers.sentTo("a.example")
		var got []request
		after := ""
		for {
			answer := b.pull("a.example", after)
			if answer.ID == "" {
				break
			}
			got = append(got, request{txnID: answer.ID, body: string(answer.Transaction)})
			b.outbox.Heard("a.example")
			time.Sleep(time.Second)
			if after = answer.ID; len(got) > 10 {
				t.Fatal("it never ends")
			}
		}
		if got[0].txnID != tried[0].txnID || got[0].body != tried[0].body {
			t.Errorf("T-02: first %s, what was sent is %s", got[0].txnID, tried[0].txnID)
		}
		if list := pdus(t, got); !slices.Equal(list, numbers(0, 101)) {
			t.Errorf("pulled %v", list)
		}
		if n := len(b.peers.sentTo("a.example")); n != len(tried) {
			t.Errorf("%d attempts to send while it pulled", n-len(tried))
		}
		b.enqueue(101, 102, "a.example")
		time.Sleep(time.Hour)
		b.stop()
		b.start()
		time.Sleep(time.Hour)
		if list := pdus(t, b.peers.sentTo("a.example")[len(tried):]); !slices.Equal(list, numbers(101, 102)) {
			t.Errorf("sent %v, want what came after the pulls", list)
		}
		b.stop()
	})
}

// Who asks and does not come back is sent the same, under the same id, a little later. Who is being sent to is told nothing, and so
// is who is no destination.
func TestPullThatIsNotFollowedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		var up atomic.Bool
		b.peers.answer = func(request) (transport.Answer, error) {
			if !up.Load() {
				return transport.Answer{}, &transport.Failure{Class: "dial"}
			}
			return transport.Answer{Status: 200, Body: []byte(`{}`)}, nil
		}
		b.enqueue(0, 1, "a.example")
		time.Sleep(time.Second)
		got := b.pull("a.example", "")
		up.Store(true)
		tried := len(b.peers.sentTo("a.example"))
		time.Sleep(time.Hour)
		sent := b.peers.sentTo("a.example")[tried:]
		if len(sent) != 1 || sent[0].txnID != got.ID || sent[0].body != string(got.Transaction) {
			t.Errorf("sent %v after pull of %s", sent, got.ID)
		}
		b.peers.delay = time.Minute
		b.enqueue(1, 2, "a.example")
		synctest.Wait()
		if got := b.pull("a.example", sent[0].txnID); got.ID != "" {
			t.Errorf("T-02: %s was given while it was being sent", got.ID)
		}
		if got := b.pull("stranger.example", "x"); got.ID != "" {
			t.Errorf("a stranger was given %s", got.ID)
		}
		time.Sleep(time.Hour)
		if b.peers.overlap {
			t.Error("T-02: two in flight")
		}
	})
}

// A server that names what is not known here has lost what it had, or we have: it is given the present of the rooms that it shares with
// us, once, and never what was before. One that names what it took last is not.
func TestPullOfAServerThatHasLostWhatItHad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, rooms := newBenchOfPresents(t, 0)
		b.start()
		defer b.stop()
		err := b.store.Update(t.Context(), func(tx *persistence.Tx) error {
			room := persistence.Room{ID: "!r:us.example", Version: "10", Membership: persistence.RoomJoined}
			var err error
			if room.NID, err = tx.PutRoom(room); err != nil {
				return err
			}
			nid, _, err := tx.AddEvent(persistence.Event{RoomNID: room.NID, ID: "$e", JSON: []byte(`{}`), Outcome: 1})
			if err != nil {
				return err
			}
			room.Extremities = []int64{nid}
			if _, err := tx.PutRoom(room); err != nil {
				return err
			}
			return tx.SetRoomServer(room.NID, "a.example", 1)
		})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			b.say(rooms, note{Room: "!r:us.example", N: n}, "a.example")
			time.Sleep(time.Second)
		}
		sent := b.peers.sentTo("a.example")
		if got := b.pull("a.example", sent[2].txnID); got.ID != "" {
			t.Errorf("who has everything was given %s", got.Transaction)
		}
		got := b.pull("a.example", sent[0].txnID)
		want := []string{`{"room":"!r:us.example","n":-1}`, `{"room":"!r:us.example","n":2}`}
		if list := pdus(t, []request{{body: string(got.Transaction)}}); !slices.Equal(list, want) {
			t.Errorf("given %q, want the present %q", list, want)
		}
		if again := b.pull("a.example", "unknown"); again.ID != got.ID {
			t.Errorf("given %s, want the same %s as before", again.ID, got.ID)
		}
		if last := b.pull("a.example", got.ID); last.ID != "" {
			t.Errorf("given %s", last.Transaction)
		}
		if last := b.pull("a.example", "unknown"); last.ID != "" {
			t.Errorf("given %s within the hour", last.Transaction)
		}
	})
}

// giver is a Sender that answers pulls from a list, and notes what it was asked.
type giver struct {
	mu      sync.Mutex
	answers map[ident.ServerName][]string
	asked   []string
}

func (g *giver) Do(_ context.Context, to ident.ServerName, call transport.Call) (transport.Answer, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, string(to)+" "+call.Query.Get("after"))
	if len(g.answers[to]) == 0 {
		return transport.Answer{}, &transport.Failure{Class: transport.Class4xxContent, Status: http.StatusNotFound, Code: "M_UNRECOGNIZED"}
	}
	body := g.answers[to][0]
	g.answers[to] = g.answers[to][1:]
	return transport.Answer{Status: 200, Body: []byte(body)}, nil
}

// shared makes a room that we and others are in.
func shared(t *testing.T, store *persistence.Store, servers ...ident.ServerName) {
	t.Helper()
	err := store.Update(t.Context(), func(tx *persistence.Tx) error {
		room, err := tx.PutRoom(persistence.Room{ID: "!r:us.example", Version: "10", Membership: persistence.RoomJoined})
		for _, server := range servers {
			if err == nil {
				err = tx.SetRoomServer(room, server, 1)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPuller(t *testing.T) {
	const empty = `{"transaction_id":"2","transaction":{"origin":"strata.example","origin_server_ts":1,"pdus":[]}}`
	synctest.Test(t, func(t *testing.T) {
		store, err := persistence.Open(t.Context(), persistence.Options{Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "us.example", NoSync: true})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		shared(t, store, "us.example", "stock.example", "strata.example", "liar.example")
		receive(t, store, "strata.example", "1")
		ask := func(sender *giver) (asked []string, reports []string) {
			sink := trace.SinkFunc(func(e trace.Event) {
				if p, ok := e.(trace.TransactionPulled); ok && p.Error != "" {
					reports = append(reports, p.From)
				}
			})
			inbox := transaction.NewInbox(transaction.InboxConfig{Self: "us.example", Store: store, PDUs: noPDUs{}})
			puller := transaction.NewPuller(transaction.PullerConfig{Self: "us.example", Store: store, Sender: sender, Inbox: inbox, Trace: sink})
			if err := puller.Run(t.Context()); err != nil {
				t.Error(err)
			}
			slices.Sort(sender.asked)
			return sender.asked, reports
		}
		if asked, _ := ask(&giver{}); len(asked) > 0 {
			t.Errorf("asked %v without having been away", asked)
		}
		time.Sleep(time.Hour)
		answers := map[ident.ServerName][]string{
			"strata.example": {empty, `{}`},
			"liar.example":   {strings.Replace(empty, "strata", "other", 1), `{}`},
		}
		asked, failed := ask(&giver{answers: answers})
		if want := []string{"liar.example ", "stock.example ", "strata.example 1", "strata.example 2"}; !slices.Equal(asked, want) {
			t.Errorf("asked %q, want %q", asked, want)
		}
		if !slices.Equal(failed, []string{"liar.example"}) {
			t.Errorf("failed: %v; T-06: a transaction that says it is another's is refused", failed)
		}
		time.Sleep(24 * time.Hour)
		answers = map[ident.ServerName][]string{"strata.example": {`{}`}, "liar.example": {`{"transaction_id":7}`}}
		if asked, _ := ask(&giver{answers: answers}); !slices.Equal(asked, []string{"liar.example ", "strata.example 2"}) {
			t.Errorf("asked %q on the next day", asked)
		}
		time.Sleep(8 * 24 * time.Hour)
		if asked, _ := ask(&giver{}); len(asked) != 3 {
			t.Errorf("asked %q a week later: stock servers are updated, too", asked)
		}
	})
}

type noPDUs struct{}

func (noPDUs) ReceivePDUs(context.Context, transaction.Inbound) (transaction.Staged, error) {
	return transaction.Staged{}, nil
}

func TestSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		defer b.stop()
		b.peers.answer = failing(transport.Failure{Class: "dial"})
		b.enqueue(0, 5, "a.example")
		b.enqueue(5, 9, "b.example")
		b.enqueue(9, 12, "a.example", "b.example")
		var got []string
		for cursor, more := persistence.Position(0), true; more; {
			page, err := b.outbox.Since(t.Context(), "a.example", cursor, 3)
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Items) > 3 {
				t.Fatalf("%d items on a page of 3", len(page.Items))
			}
			for _, item := range page.Items {
				got = append(got, string(item.Content))
			}
			cursor, more = page.Next, page.More
		}
		if want := append(numbers(0, 5), numbers(9, 12)...); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func FuzzPullAnswer(f *testing.F) {
	f.Add([]byte(`{"transaction_id":"2","transaction":{"origin":"a.example","origin_server_ts":1,"pdus":[]}}`))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"transaction_id":"2"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		id, err := transaction.ParsePulled(body)
		if err == nil && len(id) > transaction.MaxTxnID {
			t.Errorf("id of %d bytes", len(id))
		}
	})
}
