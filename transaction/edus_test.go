// SPDX-License-Identifier: Apache-2.0

package transaction_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transaction"
	"github.com/strata-matrix/strata/transport/ident"
)

// above handles EDUs: it remembers what was kept by a job that was committed, and what it was told.
type above struct {
	kept, heard []string
	err         error
}

func (a *above) KeepEDU(tx *persistence.Tx, edu transaction.EDU) error {
	line := string(edu.Origin) + " " + edu.Type + " " + string(edu.Content.Canonical())
	tx.AfterCommit(func() { a.kept = append(a.kept, line) })
	return a.err
}

func (a *above) ObserveEDU(edu transaction.EDU) {
	a.heard = append(a.heard, edu.Type+" "+string(edu.Content.Canonical()))
}

// handlers has a keep to-device messages and hear typing and receipts.
func handlers(a *above) transaction.EDUHandlers {
	return transaction.EDUHandlers{
		Keep:    map[string]transaction.EDUKeeper{"m.direct_to_device": a},
		Observe: map[string]transaction.EDUObserver{"m.typing": a, "m.receipt": a},
	}
}

// walled lets everyone into the rooms that it has but one server.
type walled struct {
	rooms  map[ident.RoomID]bool
	denied ident.ServerName
	asked  int
}

func (w *walled) CheckAccess(_ context.Context, room ident.RoomID, server ident.ServerName) error {
	w.asked++
	if !w.rooms[room] || server == w.denied {
		return errors.New("no")
	}
	return nil
}

// T-12: a durable EDU is kept with the reply or not at all, and once.
func TestDurableEDUs(t *testing.T) {
	store := openStore(t, persistence.Options{})
	defer store.Close()
	a, room := &above{err: errors.New("disk full")}, &room{store: store}
	inbox := transaction.NewInbox(transaction.InboxConfig{Self: "us.example", Store: store, PDUs: room, EDUs: handlers(a)})
	const body = `{"origin":"a.example","pdus":[{}],"edus":[{"edu_type":"m.direct_to_device","content":{"a":1}},{"edu_type":"m.unknown","content":{}}]}`
	if _, err := send(t, inbox, "a.example", "t1", body); err == nil {
		t.Error("an EDU that could not be kept was acknowledged")
	}
	a.err = nil
	for range 2 {
		if reply, err := send(t, inbox, "a.example", "t1", body); err != nil || reply != `{"pdus":{"$x":{}}}` {
			t.Errorf("reply = %s, %v", reply, err)
		}
	}
	if diff := cmp.Diff([]string{`a.example m.direct_to_device {"a":1}`}, a.kept); diff != "" {
		t.Errorf("kept -want +got\n%s", diff)
	}
	if room.staged != 2 {
		t.Errorf("the PDUs were staged %d times, want 2: with the job that failed, and with the other", room.staged)
	}
}

// A crash at the commit loses no EDU that was acknowledged, and keeps none twice.
func TestDurableEDUsCrash(t *testing.T) {
	for _, point := range []persistence.Point{persistence.BeforeCommit, persistence.AfterCommit} {
		file := filepath.Join(t.TempDir(), "strata.db")
		armed, rows := false, 0
		keeper := keepInto{func(tx *persistence.Tx) error { _, err := tx.NextPosition(); return err }}
		for run := range 3 {
			store := openStore(t, persistence.Options{Path: file, CommitPoint: func(p persistence.Point) error {
				if armed && p == point {
					return errors.New("crash")
				}
				return nil
			}})
			before := lastPosition(t, store)
			inbox := transaction.NewInbox(transaction.InboxConfig{
				Self: "us.example", Store: store, PDUs: &room{},
				EDUs: transaction.EDUHandlers{Keep: map[string]transaction.EDUKeeper{"m.x": keeper}},
			})
			armed = run == 0
			_, err := send(t, inbox, "a.example", "t1", `{"origin":"a.example","pdus":[],"edus":[{"edu_type":"m.x","content":{}}]}`)
			if (err == nil) == armed {
				t.Errorf("%v, run %d: %v", point, run, err)
			}
			if !armed {
				rows += int(lastPosition(t, store) - before)
			} else if point == persistence.AfterCommit {
				rows += 2
			}
			armed = false
			_ = store.Close()
		}
		if rows != 2 { // the EDU's position and the transaction's
			t.Errorf("%v: %d positions were given, want 2", point, rows)
		}
	}
}

type keepInto struct{ f func(*persistence.Tx) error }

func (k keepInto) KeepEDU(tx *persistence.Tx, _ transaction.EDU) error { return k.f(tx) }

func lastPosition(t *testing.T, store *persistence.Store) (last persistence.Position) {
	t.Helper()
	err := store.View(t.Context(), func(tx *persistence.Tx) (err error) {
		list, err := tx.ReceivedTransactions("", 0, 1)
		if len(list) > 0 {
			last = list[0].Position
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return last
}

// T-11, M-95: what is about a room that denies the origin is dropped silently, room by room in a receipt.
func TestEDUsBehindTheACL(t *testing.T) {
	store := openStore(t, persistence.Options{})
	defer store.Close()
	rooms := map[ident.RoomID]bool{"!a:x": true, "!b:x": true}
	for _, tt := range []struct {
		denied ident.ServerName
		want   []string
	}{
		{"", []string{`m.typing {"room_id":"!a:x"}`, `m.receipt {"!a:x":{"m.read":{}},"!b:x":{}}`}},
		{"a.example", []string{`m.receipt {}`}},
	} {
		a := &above{}
		inbox := transaction.NewInbox(transaction.InboxConfig{
			Self: "us.example", Store: store, PDUs: &room{}, EDUs: handlers(a), Rooms: &walled{rooms: rooms, denied: tt.denied},
		})
		body := `{"origin":"a.example","pdus":[],"edus":[
			{"edu_type":"m.typing","content":{"room_id":"!a:x"}}, {"edu_type":"m.typing","content":{"room_id":"!unknown:x"}},
			{"edu_type":"m.typing","content":{"room_id":7}}, {"edu_type":"m.typing","content":{}},
			{"edu_type":"m.receipt","content":{"!a:x":{"m.read":{}},"!b:x":{},"!unknown:x":{},"nonsense":1}}]}`
		if _, err := send(t, inbox, "a.example", "t1"+string(tt.denied), body); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, a.heard); diff != "" {
			t.Errorf("denied %q: heard -want +got\n%s", tt.denied, diff)
		}
	}
}
