// SPDX-License-Identifier: Apache-2.0

package push_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/homeserver/api/apitest"
	"github.com/strata-matrix/strata/homeserver/push"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/canonicaljson"
)

const (
	alice = "@alice:a.example"
	rules = "/_matrix/client/v3/pushrules/global/"
)

func open(t *testing.T) (*persistence.Store, *push.Tally, *apitest.Client) {
	t.Helper()
	store, err := persistence.Open(context.Background(), persistence.Options{
		Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "a.example",
		Annex: persistence.Annex{Name: "hs", Steps: []string{stream.Schema, accountdata.Schema, push.Schema}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	tally := push.NewTally()
	return store, tally, apitest.New(t, push.New(store, tally).Routes())
}

func TestRules(t *testing.T) {
	store, _, client := open(t)
	const mute = rules + "room/!r:a.example"
	client.Want(t, alice, "GET", mute, "", 404, "")
	client.Want(t, alice, "PUT", mute, `{"actions":[]}`, 200, `{}`)
	client.Want(t, alice, "GET", mute, "", 200, `{"rule_id":"!r:a.example","default":false,"enabled":true,"actions":[]}`)
	client.Want(t, alice, "PUT", mute+"/enabled", `{"enabled":false}`, 200, `{}`)
	client.Want(t, alice, "GET", mute+"/enabled", "", 200, `{"enabled":false}`)
	client.Want(t, alice, "PUT", mute+"/actions", `{"actions":["notify",{"set_tweak":"highlight"}]}`, 200, `{}`)
	client.Want(t, alice, "GET", mute+"/actions", "", 200, `{"actions":["notify",{"set_tweak":"highlight"}]}`)
	client.Want(t, alice, "DELETE", mute, "", 200, `{}`)
	client.Want(t, alice, "DELETE", mute, "", 404, "")

	client.Want(t, alice, "PUT", rules+"override/.m.rule.master/enabled", `{"enabled":true}`, 200, `{}`)
	client.Want(t, alice, "GET", rules+"override/.m.rule.master", "", 200,
		`{"rule_id":".m.rule.master","default":true,"enabled":true,"actions":[]}`)
	client.Want(t, alice, "DELETE", rules+"override/.m.rule.master", "", 400, "")

	err := store.View(context.Background(), func(tx *persistence.Tx) error {
		shown, found, err := accountdata.Get(tx, alice, "", "m.push_rules")
		if !found || !json.Valid(shown) {
			t.Errorf("m.push_rules is %s", shown)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestBadRules(t *testing.T) {
	_, _, client := open(t)
	for _, c := range []struct{ path, body string }{
		{"override/x", `{}`},
		{"override/x", `{"actions":[7]}`},
		{"override/x", `{"actions":[{}]}`},
		{"override/.x", `{"actions":[]}`},
		{"override/a%2Fb", `{"actions":[]}`},
		{"override/x", `{"actions":[],"conditions":[{}]}`},
		{"override/x?before=y", `{"actions":[]}`},
		{"override/x?before=y&after=z", `{"actions":[]}`},
		{"content/x", `{"actions":[]}`},
		{"nothing/x", `{"actions":[]}`},
		{"override/x", `{"actions":"notify"}`},
	} {
		client.Want(t, alice, "PUT", rules+c.path, c.body, 400, "")
	}
}

func TestOrder(t *testing.T) {
	_, _, client := open(t)
	const rule = `{"actions":["notify"],"conditions":[]}`
	client.Want(t, alice, "PUT", rules+"override/a", rule, 200, "")
	client.Want(t, alice, "PUT", rules+"override/b", rule, 200, "")
	client.Want(t, alice, "PUT", rules+"override/c?after=a", rule, 200, "")
	client.Want(t, alice, "PUT", rules+"override/b?after=c", rule, 200, "")
	_, answer := client.Do(t, alice, "GET", "/_matrix/client/v3/pushrules/", "")
	var all struct{ Global map[string][]push.Rule }
	if err := json.Unmarshal(answer, &all); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range all.Global["override"][:4] {
		ids = append(ids, r.ID)
	}
	if diff := cmp.Diff([]string{".m.rule.master", "a", "c", "b"}, ids); diff != "" {
		t.Error(diff)
	}
}

func TestPushers(t *testing.T) {
	_, _, client := open(t)
	const path = "/_matrix/client/v3/pushers"
	const given = `{"pushkey":"k","kind":"http","app_id":"app","app_display_name":"App","device_display_name":"Phone","lang":"en","data":{"url":"https://p.example/_matrix/push/v1/notify"}}`
	client.Want(t, alice, "POST", path+"/set", given, 200, `{}`)
	client.Want(t, alice, "GET", path, "", 200, `{"pushers":[`+given+`]}`)
	client.Want(t, alice, "POST", path+"/set", `{"pushkey":"k","kind":null,"app_id":"app"}`, 200, `{}`)
	client.Want(t, alice, "GET", path, "", 200, `{"pushers":[]}`)
	client.Want(t, alice, "POST", path+"/set", `{"pushkey":"k","kind":"smoke","app_id":"app"}`, 400, "")
}

// TestUnread is S-20 to S-22: threads apart, receipts for all or for one thread.
func TestUnread(t *testing.T) {
	store, tally, client := open(t)
	ctx := context.Background()
	event, err := canonicaljson.Parse([]byte(`{"type":"m.room.message","content":{"body":"alice: hi"}}`), canonicaljson.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	subject := push.Subject{Event: event, Room: "!r:a.example", Sender: "@bob:b.example", Members: 3}
	heard := func(at int, thread string) push.Heard {
		return push.Heard{
			Position: persistence.Position(at), Thread: thread, Subject: subject, Listeners: []push.Listener{{User: alice}, {User: "@bob:b.example"}},
		}
	}
	update := func(f func(*persistence.Tx) error) {
		t.Helper()
		if err := store.Update(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	want := func(timeline push.Count, threads map[string]push.Count) {
		t.Helper()
		update(func(tx *persistence.Tx) error {
			gotTimeline, gotThreads, err := push.Unread(tx, alice, "!r:a.example")
			if diff := cmp.Diff([]any{timeline, threads}, []any{gotTimeline, gotThreads}); diff != "" {
				t.Error(diff)
			}
			return err
		})
	}
	update(func(tx *persistence.Tx) error {
		for i, thread := range []string{"", "$root", "", "$root", "$other"} {
			if err := tally.Note(tx, heard(10+i, thread), 1000); err != nil {
				return err
			}
		}
		return nil
	})
	want(push.Count{Notifications: 2, Highlights: 2}, map[string]push.Count{"$root": {2, 2}, "$other": {1, 1}})
	update(func(tx *persistence.Tx) error { return push.Read(tx, alice, "!r:a.example", "$root", 11) })
	want(push.Count{Notifications: 2, Highlights: 2}, map[string]push.Count{"$root": {1, 1}, "$other": {1, 1}})
	update(func(tx *persistence.Tx) error { return push.Read(tx, alice, "!r:a.example", push.Main, 14) })
	want(push.Count{}, map[string]push.Count{"$root": {1, 1}, "$other": {1, 1}})
	update(func(tx *persistence.Tx) error { return push.Read(tx, alice, "!r:a.example", push.Everything, 13) })
	want(push.Count{}, map[string]push.Count{"$other": {1, 1}})

	noticed := func(before persistence.Position, highlights bool, want ...bool) { // which of them are read, newest first
		t.Helper()
		update(func(tx *persistence.Tx) error {
			list, err := push.Notices(tx, alice, before, highlights, 10)
			var read []bool
			for _, n := range list {
				read = append(read, n.Read)
			}
			if diff := cmp.Diff(want, read); diff != "" {
				t.Error(diff)
			}
			return err
		})
	}
	noticed(100, false, false, true, true, true, true)
	noticed(14, true, true, true, true, true)
	noticed(10, false)

	client.Want(t, alice, "PUT", rules+"override/.m.rule.master/enabled", `{"enabled":true}`, 200, "") // from now on nothing notifies
	update(func(tx *persistence.Tx) error { return tally.Note(tx, heard(20, ""), 1000) })
	want(push.Count{}, map[string]push.Count{"$other": {1, 1}})
}

// Who is notified often can look back on the newest notifications: what is kept is bounded.
func TestNoticesAreBounded(t *testing.T) {
	const kept, slack = 1000, 100 // keptNotices, trimEvery
	store, tally, _ := open(t)
	message, err := canonicaljson.Parse([]byte(`{"type":"m.room.message","content":{"body":"hello"}}`), canonicaljson.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	subject := push.Subject{Event: message, Room: "!r:a.example", Sender: "@carol:a.example", Members: 3}
	err = store.Update(context.Background(), func(tx *persistence.Tx) error {
		for i := range 2 * kept {
			heard := push.Heard{Position: persistence.Position(1 + i), Subject: subject, Listeners: []push.Listener{{User: alice}}}
			if err := tally.Note(tx, heard, 1000); err != nil {
				return err
			}
		}
		list, err := push.Notices(tx, alice, 1<<40, false, 1<<20)
		if len(list) < kept || len(list) > kept+slack || list[0].Position != 2*kept || list[0].TS != 1000 {
			t.Errorf("%d are kept", len(list))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
