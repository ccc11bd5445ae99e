// SPDX-License-Identifier: Apache-2.0

package ephemeral_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/homeserver/api/apitest"
	"github.com/strata-matrix/strata/homeserver/ephemeral"
	"github.com/strata-matrix/strata/homeserver/push"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	alice = "@alice:a.example"
	carol = "@carol:b.example"
	room  = "!r:a.example"
	path  = "/_matrix/client/v3/"
)

// world is a room with Alice and Carol in it, and the other servers.
type world struct {
	mu   sync.Mutex
	told []string
}

func (w *world) MayAct(_ context.Context, id ident.RoomID, user ident.UserID) (bool, error) {
	if id != room {
		return false, pdu.ErrUnknownRoom
	}
	return user == alice || user == carol, nil
}

func (w *world) Meets(_ *persistence.Tx, user ident.UserID) (bool, error) { return user == carol, nil }

func (w *world) tell(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, fmt.Sprintf(format, args...))
}

// all is what the other servers were told.
func (w *world) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.told)
}

func (w *world) SendTyping(_ context.Context, id ident.RoomID, user ident.UserID, typing bool) error {
	w.tell("%s types in %s: %v", user, id, typing)
	return nil
}

func (w *world) SendReceipt(_ context.Context, r messaging.Receipt) error {
	w.tell("%s has read %s %s %q", r.User, r.Event, r.Type, r.Thread)
	return nil
}

func (w *world) SendPresence(_ context.Context, u messaging.PresenceUpdate) error {
	w.tell("%s is %s %q", u.User, u.Presence, u.Status)
	return nil
}

type fixture struct {
	*apitest.Client
	*ephemeral.Ephemeral
	t     *testing.T
	store *persistence.Store
	world *world
	close func()
}

func open(t *testing.T) *fixture { return openAt(t, t.TempDir(), false) }

func openAt(t *testing.T, dir string, noPresence bool) *fixture {
	t.Helper()
	store, err := persistence.Open(context.Background(), persistence.Options{
		Path: filepath.Join(dir, "strata.db"), ServerName: "a.example", NoSync: true,
		Annex: persistence.Annex{Name: "hs", Steps: []string{stream.Schema, accountdata.Schema, push.Schema, ephemeral.Schema}},
	})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, store: store, world: &world{}}
	f.Ephemeral = ephemeral.New(ephemeral.Config{Self: "a.example", Store: store, Teller: f.world, Rooms: f.world, NoPresence: noPresence})
	f.Client = apitest.New(t, f.Routes())
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- f.Run(ctx) }()
	f.close = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = store.Close()
	})
	t.Cleanup(f.close)
	return f
}

func (f *fixture) view(job func(*persistence.Tx) error) {
	f.t.Helper()
	if err := f.store.View(context.Background(), job); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) typers() (users []ident.UserID, since persistence.Position) {
	f.view(func(tx *persistence.Tx) (err error) {
		users, since, err = ephemeral.Typers(tx, room)
		return err
	})
	return users, since
}

func TestTyping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t)
		const mine = path + "rooms/" + room + "/typing/" + alice
		f.Want(t, alice, "PUT", mine, `{"typing":true,"timeout":10000}`, 200, `{}`)
		f.Typing(t.Context(), room, carol, true)
		synctest.Wait()
		users, since := f.typers()
		if diff := cmp.Diff([]ident.UserID{alice, carol}, users); diff != "" {
			t.Error(diff)
		}
		f.Want(t, alice, "PUT", mine, `{"typing":true,"timeout":10000}`, 200, `{}`)
		if _, again := f.typers(); again != since {
			t.Error("that Alice still types is told as news")
		}
		time.Sleep(16 * time.Second) // Alice's ten seconds are over, Carol's thirty are not
		if users, _ := f.typers(); cmp.Diff([]ident.UserID{carol}, users) != "" {
			t.Errorf("after ten seconds %v type", users)
		}
		time.Sleep(20 * time.Second)
		if users, last := f.typers(); len(users) != 0 || last <= since {
			t.Errorf("after thirty seconds %v type, since %d", users, last)
		}
		f.Want(t, alice, "PUT", mine, `{"typing":true}`, 200, `{}`)
		f.Want(t, alice, "PUT", mine, `{"typing":false}`, 200, `{}`)
		want := []string{}
		for _, typing := range []bool{true, true, true, false} {
			want = append(want, fmt.Sprintf("%s types in %s: %v", alice, room, typing))
		}
		if diff := cmp.Diff(want, f.world.all()); diff != "" {
			t.Error(diff)
		}
		f.Want(t, alice, "PUT", path+"rooms/"+room+"/typing/"+carol, `{"typing":true}`, 403, "")
		f.Want(t, alice, "PUT", path+"rooms/!other:a.example/typing/"+alice, `{"typing":true}`, 403, "")
		f.Want(t, alice, "PUT", mine, `{}`, 400, "")
	})
}

// TestReceipts is S-18 and M-53: the private ones are kept and not sent, the newest of each kind and thread counts.
func TestReceipts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t)
		const receipt, markers = path + "rooms/" + room + "/receipt/", path + "rooms/" + room + "/read_markers"
		f.Want(t, alice, "POST", receipt+"m.read/$1", `{}`, 200, `{}`)
		f.Want(t, alice, "POST", receipt+"m.read/$2", `{"thread_id":"$root"}`, 200, `{}`)
		f.Want(t, alice, "POST", receipt+"m.read/$3", ``, 200, `{}`)
		f.Want(t, alice, "POST", receipt+"m.read.private/$4", `{}`, 200, `{}`)
		f.Want(t, alice, "POST", markers, `{"m.fully_read":"$5","m.read.private":"$6"}`, 200, `{}`)
		f.Receipts(t.Context(), []messaging.Receipt{{Room: room, User: carol, Type: "m.read", Event: "$7", TS: 7}})
		synctest.Wait()
		var got []string
		f.view(func(tx *persistence.Tx) error {
			list, err := ephemeral.Receipts(tx, room, 0, tx.LastPosition())
			for _, r := range list {
				got = append(got, fmt.Sprintf("%s %s %q %s", r.User, r.Type, r.Thread, r.Event))
			}
			return err
		})
		want := []string{
			alice + ` m.read "$root" $2`, alice + ` m.read "" $3`, alice + ` m.read.private "" $6`, carol + ` m.read "" $7`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		f.view(func(tx *persistence.Tx) error {
			marker, _, err := accountdata.Get(tx, alice, room, "m.fully_read")
			if string(marker) != `{"event_id":"$5"}` {
				t.Errorf("m.fully_read is %s", marker)
			}
			return err
		})
		sent := []string{alice + ` has read $1 m.read ""`, alice + ` has read $2 m.read "$root"`, alice + ` has read $3 m.read ""`}
		if diff := cmp.Diff(sent, f.world.all()); diff != "" {
			t.Error(diff)
		}
		f.Want(t, alice, "POST", receipt+"m.seen/$1", `{}`, 400, "")
		f.Want(t, alice, "POST", receipt+"m.read/nonsense", `{}`, 400, "")
		f.Want(t, alice, "POST", receipt+"m.read/$1", `{"thread_id":""}`, 400, "")
		f.Want(t, alice, "POST", receipt+"m.fully_read/$1", `{"thread_id":"main"}`, 400, "")
		f.Want(t, "@dave:a.example", "POST", receipt+"m.read/$1", `{}`, 403, "")
	})
}

// TestNoPresence: a server without presence says of everybody that they are offline, also of those who were not when it had it, and tells
// other servers so once.
func TestNoPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		f := openAt(t, dir, false)
		done, err := f.Syncing(t.Context(), alice, "online")
		if err != nil {
			t.Fatal(err)
		}
		f.Presence(t.Context(), []messaging.PresenceUpdate{{User: carol, Presence: "online"}})
		synctest.Wait()
		done()
		f.close()

		f = openAt(t, dir, true)
		synctest.Wait()
		if done, err = f.Syncing(t.Context(), alice, "online"); err != nil {
			t.Fatal(err)
		}
		defer done()
		const mine = path + "presence/" + alice + "/status"
		f.Want(t, alice, "PUT", mine, `{"presence":"unavailable"}`, 200, `{}`)
		f.Want(t, alice, "PUT", mine, `{"presence":"sleepy"}`, 400, "")
		for _, user := range []string{alice, carol} {
			f.Want(t, alice, "GET", path+"presence/"+user+"/status", "", 200, `{"presence":"offline","currently_active":false}`)
		}
		f.view(func(tx *persistence.Tx) error {
			list, err := ephemeral.PresenceChanges(tx, 0, 1<<40)
			if len(list) != 0 {
				t.Errorf("sync would tell of %v", list)
			}
			return err
		})
		if diff := cmp.Diff([]string{alice + ` is offline ""`}, f.world.all()); diff != "" {
			t.Errorf("told others (-want +got):\n%s", diff)
		}
	})
}

// TestPresence is S-05 and S-32: who syncs is there, who does so no more is not; that somebody is still there is no news.
func TestPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t)
		const mine = path + "presence/" + alice + "/status"
		f.Want(t, alice, "GET", mine, "", 200, `{"presence":"offline","currently_active":false}`)
		for range 3 {
			done, err := f.Syncing(t.Context(), alice, ephemeral.Online)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Second)
			done()
		}
		f.Want(t, alice, "PUT", mine, `{"presence":"unavailable","status_msg":"lunch"}`, 200, `{}`)
		f.Want(t, alice, "GET", mine, "", 200, `{"presence":"unavailable","currently_active":false,"status_msg":"lunch","last_active_ago":0}`)
		time.Sleep(2 * time.Minute)
		want := []string{alice + ` is online ""`, alice + ` is unavailable "lunch"`, alice + ` is offline "lunch"`}
		if diff := cmp.Diff(want, f.world.all()); diff != "" {
			t.Error(diff)
		}

		f.Presence(t.Context(), []messaging.PresenceUpdate{{User: carol, Presence: "online", LastActive: time.Second, CurrentlyActive: true}})
		synctest.Wait()
		f.Want(t, alice, "GET", path+"presence/"+carol+"/status", "", 200, `{"presence":"online","currently_active":true,"last_active_ago":1000}`)
		f.Want(t, alice, "GET", path+"presence/@stranger:b.example/status", "", 403, "")
		f.Want(t, alice, "PUT", path+"presence/"+carol+"/status", `{"presence":"online"}`, 403, "")
		f.Want(t, alice, "PUT", mine, `{"presence":"sleepy"}`, 400, "")
		f.Want(t, alice, "PUT", mine, `{}`, 400, "")
	})
}
