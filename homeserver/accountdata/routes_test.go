// SPDX-License-Identifier: Apache-2.0

package accountdata_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/homeserver/accountdata"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/homeserver/api/apitest"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/persistence"
)

const (
	alice = "@alice:a.example"
	bob   = "@bob:a.example"
	base  = "/_matrix/client/v3/user/@alice:a.example"
	room  = base + "/rooms/!r:a.example"
)

func open(t *testing.T) (*persistence.Store, *apitest.Client) {
	t.Helper()
	store, err := persistence.Open(context.Background(), persistence.Options{
		Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "a.example",
		Annex: persistence.Annex{Name: "hs", Steps: []string{stream.Schema, accountdata.Schema}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	check := func(filter json.RawMessage) error {
		if string(filter) == `{"bad":1}` {
			return api.BadJSON("bad")
		}
		return nil
	}
	return store, apitest.New(t, accountdata.New(store, check).Routes())
}

func TestAccountData(t *testing.T) {
	store, client := open(t)
	client.Want(t, alice, "GET", base+"/account_data/m.direct", "", 404, "")
	client.Want(t, alice, "PUT", base+"/account_data/m.direct", `{"@bob:a.example":["!r:a.example"]}`, 200, `{}`)
	client.Want(t, alice, "GET", base+"/account_data/m.direct", "", 200, `{"@bob:a.example":["!r:a.example"]}`)
	client.Want(t, alice, "GET", room+"/account_data/m.direct", "", 404, "")
	client.Want(t, alice, "PUT", room+"/account_data/org.x", `{"n":1.5}`, 200, `{}`)
	client.Want(t, alice, "GET", room+"/account_data/org.x", "", 200, `{"n":1.5}`)
	client.Want(t, bob, "GET", base+"/account_data/m.direct", "", 403, "")
	client.Want(t, bob, "PUT", base+"/account_data/m.direct", `{}`, 403, "")
	client.Want(t, alice, "PUT", base+"/account_data/m.direct", `[]`, 400, "")
	client.Want(t, alice, "PUT", base+"/account_data/m.push_rules", `{}`, 405, "") // S-19
	client.Want(t, alice, "PUT", room+"/account_data/m.fully_read", `{}`, 405, "")
	client.Want(t, alice, "GET", base+"/rooms/nonsense/tags", "", 400, "")

	err := store.View(context.Background(), func(tx *persistence.Tx) error {
		items, err := accountdata.Changes(tx, alice, 1, tx.LastPosition())
		want := []accountdata.Item{{Room: "!r:a.example", Type: "org.x", Content: json.RawMessage(`{"n":1.5}`), Position: 2}}
		if diff := cmp.Diff(want, items); diff != "" {
			t.Error(diff)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTags(t *testing.T) {
	_, client := open(t)
	client.Want(t, alice, "GET", room+"/tags", "", 200, `{"tags":{}}`)
	client.Want(t, alice, "PUT", room+"/tags/u.work", `{"order":0.7}`, 200, `{}`)
	client.Want(t, alice, "PUT", room+"/tags/m.favourite", ``, 200, `{}`)
	client.Want(t, alice, "PUT", room+"/tags/u.bad", `{"order":"first"}`, 400, "")
	client.Want(t, alice, "GET", room+"/tags", "", 200, `{"tags":{"u.work":{"order":0.7},"m.favourite":{}}}`)
	client.Want(t, alice, "GET", room+"/account_data/m.tag", "", 200, `{"tags":{"u.work":{"order":0.7},"m.favourite":{}}}`)
	client.Want(t, alice, "DELETE", room+"/tags/u.work", "", 200, `{}`)
	client.Want(t, alice, "GET", room+"/tags", "", 200, `{"tags":{"m.favourite":{}}}`)
}

func TestFilters(t *testing.T) {
	_, client := open(t)
	client.Want(t, alice, "POST", base+"/filter", `{"room":{"timeline":{"limit":5}}}`, 200, `{"filter_id":"0"}`)
	client.Want(t, alice, "POST", base+"/filter", `{}`, 200, `{"filter_id":"1"}`)
	client.Want(t, alice, "POST", base+"/filter", `{"room":{"timeline":{"limit":5}}}`, 200, `{"filter_id":"0"}`)
	client.Want(t, alice, "GET", base+"/filter/0", "", 200, `{"room":{"timeline":{"limit":5}}}`)
	client.Want(t, alice, "GET", base+"/filter/7", "", 404, "")
	client.Want(t, alice, "GET", base+"/filter/x", "", 404, "")
	client.Want(t, alice, "POST", base+"/filter", `{"bad":1}`, 400, "")
	client.Want(t, bob, "GET", base+"/filter/0", "", 403, "")
}
