// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

// room is the layer above: it counts what it is given.
type room struct {
	store  *persistence.Store // nil: nothing of it is kept
	mu     sync.Mutex
	calls  int
	staged int
	delay  time.Duration
	err    error
	result string
}

func (r *room) ReceivePDUs(ctx context.Context, in transaction.Inbound) (transaction.Staged, error) {
	time.Sleep(r.delay)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	results := map[ident.EventID]string{}
	for range in.PDUs {
		results["$x"] = r.result
	}
	staged := transaction.Staged{Results: results}
	if r.store != nil {
		staged.Keep = r.keep
	}
	return staged, r.err
}

func (r *room) keep(ctx context.Context, reply func(*persistence.Tx) error) error {
	return r.store.Update(ctx, func(tx *persistence.Tx) error {
		r.staged++
		return reply(tx)
	})
}

func openStore(t *testing.T, options persistence.Options) *persistence.Store {
	t.Helper()
	options.ServerName, options.NoSync = "us.example", true
	if options.Path == "" {
		options.Path = filepath.Join(t.TempDir(), "strata.db")
	}
	store, err := persistence.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func send(t *testing.T, inbox *transaction.Inbox, origin ident.ServerName, txnID, body string) (string, error) {
	t.Helper()
	reply, err := inbox.Routes()[0].Handle(t.Context(), inboundRequest(t, origin, txnID, body))
	return string(reply.Body), err
}

func inboundRequest(t *testing.T, origin ident.ServerName, txnID, body string) *transport.Request {
	t.Helper()
	parsed, err := canonicaljson.Parse([]byte(body), canonicaljson.Foreign)
	if err != nil {
		t.Fatal(err)
	}
	return &transport.Request{Origin: origin, Params: map[string]string{"txnID": txnID}, JSON: parsed}
}

const onePDU = `{"origin":"a.example","origin_server_ts":1,"pdus":[{}]}`

// T-03: the same id gives the same reply and nothing is kept of it again, also after a restart.
func TestInboxKeepsTheReply(t *testing.T) {
	file := filepath.Join(t.TempDir(), "strata.db")
	above := &room{result: "not allowed"}
	for restart := range 2 {
		store := openStore(t, persistence.Options{Path: file})
		heard := 0
		above.store = store
		inbox := transaction.NewInbox(transaction.InboxConfig{
			Self: "us.example", Store: store, PDUs: above, Heard: func(ident.ServerName) { heard++ },
		})
		for range 2 {
			reply, err := send(t, inbox, "a.example", "t1", onePDU)
			if err != nil || reply != `{"pdus":{"$x":{"error":"not allowed"}}}` {
				t.Errorf("reply = %s, %v", reply, err)
			}
		}
		if heard != 2 {
			t.Errorf("heard %d times, want 2", heard)
		}
		if above.staged != 1 {
			t.Errorf("restart %d: staged %d times, want once", restart, above.staged)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInboxKeysByOriginAndID(t *testing.T) {
	store := openStore(t, persistence.Options{})
	defer store.Close()
	above := &room{}
	inbox := transaction.NewInbox(transaction.InboxConfig{Self: "us.example", Store: store, PDUs: above})
	for _, in := range []struct{ origin, id string }{{"a.example", "1"}, {"a.example", "2"}, {"b.example", "1"}} {
		body := strings.Replace(onePDU, "a.example", in.origin, 1)
		if _, err := send(t, inbox, ident.ServerName(in.origin), in.id, body); err != nil {
			t.Error(err)
		}
	}
	if above.calls != 3 {
		t.Errorf("worked on %d transactions, want 3", above.calls)
	}
}

// A duplicate that comes while the first is being worked on waits for it.
func TestInboxConcurrentDuplicateWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t, persistence.Options{})
		defer store.Close()
		above := &room{store: store, delay: time.Second}
		inbox := transaction.NewInbox(transaction.InboxConfig{Self: "us.example", Store: store, PDUs: above})
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if reply, err := send(t, inbox, "a.example", "t1", onePDU); err != nil || reply != `{"pdus":{"$x":{}}}` {
					t.Errorf("reply = %s, %v", reply, err)
				}
			})
		}
		wg.Wait()
		if above.calls != 1 {
			t.Errorf("worked on %d times, want once", above.calls)
		}
	})
}

// What failed is not acknowledged and not kept: the sender tries again and is then served.
func TestInboxFailureIsNotKept(t *testing.T) {
	store := openStore(t, persistence.Options{})
	defer store.Close()
	above := &room{store: store, err: errors.New("no keys")}
	inbox := transaction.NewInbox(transaction.InboxConfig{Self: "us.example", Store: store, PDUs: above})
	if _, err := send(t, inbox, "a.example", "t1", onePDU); err == nil {
		t.Error("a failure was acknowledged")
	}
	above.err = nil
	if _, err := send(t, inbox, "a.example", "t1", onePDU); err != nil {
		t.Error(err)
	}
	if above.calls != 2 || above.staged != 1 {
		t.Errorf("worked on %d times, staged %d times, want 2 and 1", above.calls, above.staged)
	}
}

// A crash just before the commit leaves nothing, one just after it leaves all; in neither case was there a reply.
func TestInboxCrash(t *testing.T) {
	for _, point := range []persistence.Point{persistence.BeforeCommit, persistence.AfterCommit} {
		file := filepath.Join(t.TempDir(), "strata.db")
		armed := false
		store := openStore(t, persistence.Options{Path: file, CommitPoint: func(p persistence.Point) error {
			if armed && p == point {
				return errors.New("crash")
			}
			return nil
		}})
		inbox := transaction.NewInbox(transaction.InboxConfig{Self: "us.example", Store: store, PDUs: &room{}})
		armed = true
		if _, err := send(t, inbox, "a.example", "t1", onePDU); err == nil {
			t.Errorf("%v: a reply was given although the server crashed", point)
		}
		_ = store.Close()

		store = openStore(t, persistence.Options{Path: file})
		above := &room{store: store}
		inbox = transaction.NewInbox(transaction.InboxConfig{Self: "us.example", Store: store, PDUs: above})
		if reply, err := send(t, inbox, "a.example", "t1", onePDU); err != nil || reply != `{"pdus":{"$x":{}}}` {
			t.Errorf("%v: reply after restart = %s, %v", point, reply, err)
		}
		want := map[persistence.Point]int{persistence.BeforeCommit: 1, persistence.AfterCommit: 0}[point]
		if above.staged != want {
			t.Errorf("%v: staged %d times after restart, want %d", point, above.staged, want)
		}
		_ = store.Close()
	}
}

func TestInboxRefusesLongTransactionIDs(t *testing.T) {
	inbox := transaction.NewInbox(transaction.InboxConfig{Self: "us.example", PDUs: &room{}})
	_, err := send(t, inbox, "a.example", strings.Repeat("t", transaction.MaxTxnID+1), onePDU)
	var refusal *transport.Error
	if !errors.As(err, &refusal) || refusal.Status != 400 {
		t.Errorf("got %v, want a 400", err)
	}
}

// brokenRoom is a layer above with a defect.
type brokenRoom struct{}

func (brokenRoom) ReceivePDUs(context.Context, transaction.Inbound) (transaction.Staged, error) {
	time.Sleep(time.Second)
	panic("defect")
}

// A panic above acknowledges nothing, neither to the one who was being served nor to those who waited for the same transaction.
func TestInboxPanicIsNoReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t, persistence.Options{})
		defer store.Close()
		inbox := transaction.NewInbox(transaction.InboxConfig{Self: "us.example", Store: store, PDUs: brokenRoom{}})
		panics := 0
		go func() {
			defer func() {
				if recover() != nil {
					panics++
				}
			}()
			_, _ = send(t, inbox, "a.example", "t1", onePDU)
		}()
		synctest.Wait()
		if reply, err := send(t, inbox, "a.example", "t1", onePDU); err == nil {
			t.Errorf("the one who waited was answered with 200 %q", reply)
		}
		synctest.Wait()
		if panics != 1 {
			t.Error("the panic did not reach the server")
		}
	})
}

// Those who wait for a transaction are served although the one who brought it has hung up, and their own hanging up ends their
// waiting only.
func TestInboxSurvivesHangingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t, persistence.Options{})
		defer store.Close()
		above := &room{store: store, delay: time.Second}
		inbox := transaction.NewInbox(transaction.InboxConfig{Self: "us.example", Store: store, PDUs: above})
		handle := func(ctx context.Context) error {
			_, err := inbox.Routes()[0].Handle(ctx, inboundRequest(t, "a.example", "t1", onePDU))
			return err
		}
		var wg sync.WaitGroup
		gone, hangUp := context.WithCancel(t.Context())
		wg.Go(func() { _ = handle(gone) })
		synctest.Wait()
		wg.Go(func() {
			if err := handle(gone); !errors.Is(err, context.Canceled) {
				t.Errorf("one who waited and hung up: %v", err)
			}
		})
		wg.Go(func() {
			if err := handle(t.Context()); err != nil {
				t.Errorf("one who waited: %v", err)
			}
		})
		synctest.Wait()
		hangUp()
		wg.Wait()
		if above.calls != 1 || above.staged != 1 {
			t.Errorf("worked on %d times, staged %d times, want once", above.calls, above.staged)
		}
	})
}
