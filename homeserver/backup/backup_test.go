// SPDX-License-Identifier: Apache-2.0

package backup_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/strata-matrix/strata/homeserver/api/apitest"
	"github.com/strata-matrix/strata/homeserver/backup"
	"github.com/strata-matrix/strata/persistence"
)

// TestBackup goes through the life of a backup as the Client-Server API, "Server-side key backups", has it.
func TestBackup(t *testing.T) {
	store, err := persistence.Open(context.Background(), persistence.Options{
		Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "a.example",
		Annex: persistence.Annex{Name: "hs", Steps: []string{backup.Schema}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	client := apitest.New(t, backup.New(store).Routes())
	const (
		alice   = "@alice:a.example"
		version = "/_matrix/client/v3/room_keys/version"
		keys    = "/_matrix/client/v3/room_keys/keys"
		one     = `{"first_message_index":5,"forwarded_count":1,"is_verified":false,"session_data":{"c":1}}`
		better  = `{"first_message_index":1,"forwarded_count":9,"is_verified":false,"session_data":{"c":2}}`
		worse   = `{"first_message_index":1,"forwarded_count":10,"is_verified":false,"session_data":{"c":3}}`
	)
	client.Want(t, alice, "GET", version, "", 404, "")
	client.Want(t, alice, "POST", version, `{"algorithm":"m.megolm_backup.v1.curve25519-aes-sha2","auth_data":{"public_key":"p"}}`, 200, `{"version":"1"}`)
	client.Want(t, alice, "GET", version, "", 200,
		`{"algorithm":"m.megolm_backup.v1.curve25519-aes-sha2","auth_data":{"public_key":"p"},"version":"1","etag":"0","count":0}`)
	client.Want(t, "@bob:a.example", "GET", version+"/1", "", 404, "")

	client.Want(t, alice, "PUT", keys+"/!r:a.example/s?version=1", one, 200, `{"etag":"1","count":1}`)
	client.Want(t, alice, "PUT", keys+"/!r:a.example?version=1", `{"sessions":{"s":`+better+`}}`, 200, `{"etag":"2","count":1}`)
	client.Want(t, alice, "PUT", keys+"?version=1", `{"rooms":{"!r:a.example":{"sessions":{"s":`+worse+`}}}}`, 200, `{"etag":"2","count":1}`)
	client.Want(t, alice, "GET", keys+"/!r:a.example/s?version=1", "", 200, better)
	client.Want(t, alice, "GET", keys+"?version=1", "", 200, `{"rooms":{"!r:a.example":{"sessions":{"s":`+better+`}}}}`)
	client.Want(t, alice, "GET", keys+"/!other:a.example?version=1", "", 200, `{"sessions":{}}`)
	client.Want(t, alice, "GET", keys+"/!r:a.example/x?version=1", "", 404, "")
	client.Want(t, alice, "GET", keys+"?version=7", "", 404, "")
	client.Want(t, alice, "PUT", keys+"/!r:a.example/s?version=1", `{"session_data":7}`, 400, "")
	client.Want(t, alice, "PUT", keys+"/!r:a.example/s", one, 400, "")

	client.Want(t, alice, "PUT", version+"/1", `{"algorithm":"other","auth_data":{}}`, 400, "")
	client.Want(t, alice, "PUT", version+"/1", `{"algorithm":"m.megolm_backup.v1.curve25519-aes-sha2","auth_data":{"public_key":"q"}}`, 200, `{}`)
	client.Want(t, alice, "POST", version, `{"algorithm":"m.megolm_backup.v1.curve25519-aes-sha2","auth_data":{}}`, 200, `{"version":"2"}`)
	client.Want(t, alice, "PUT", keys+"/!r:a.example/t?version=1", one, 403,
		`{"errcode":"M_WRONG_ROOM_KEYS_VERSION","error":"there is a newer backup","current_version":"2"}`)
	client.Want(t, alice, "DELETE", keys+"?version=1", "", 200, `{"etag":"3","count":0}`)
	client.Want(t, alice, "DELETE", version+"/2", "", 200, `{}`)
	client.Want(t, alice, "DELETE", version+"/2", "", 404, "")
	client.Want(t, alice, "GET", version, "", 200, "")
	client.Want(t, alice, "POST", version, `{"algorithm":"a","auth_data":{}}`, 200, `{"version":"3"}`)
}
