// SPDX-License-Identifier: Apache-2.0

package openid_test

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/strata-matrix/strata/homeserver/api/apitest"
	"github.com/strata-matrix/strata/homeserver/openid"
	"github.com/strata-matrix/strata/persistence"
)

func TestToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, err := persistence.Open(context.Background(), persistence.Options{
			Path: filepath.Join(t.TempDir(), "strata.db"), ServerName: "a.example", NoSync: true,
			Annex: persistence.Annex{Name: "hs", Steps: []string{openid.Schema}},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = store.Close() }()
		known := openid.New("a.example", store)
		client := apitest.New(t, known.Routes())
		const path = "/_matrix/client/v3/user/@alice:a.example/openid/request_token"
		_, answer := client.Do(t, "@alice:a.example", "POST", path, `{}`)
		var given struct {
			Token   string `json:"access_token"`
			Type    string `json:"token_type"`
			Server  string `json:"matrix_server_name"`
			Expires int    `json:"expires_in"`
		}
		if err := json.Unmarshal(answer, &given); err != nil || given.Type != "Bearer" || given.Server != "a.example" {
			t.Fatalf("%s: %v", answer, err)
		}
		if user, found, err := known.OpenIDUser(t.Context(), given.Token); err != nil || !found || user != "@alice:a.example" {
			t.Errorf("the token is of %q, %v, %v", user, found, err)
		}
		if _, found, err := known.OpenIDUser(t.Context(), "other"); err != nil || found {
			t.Errorf("another token is somebody's: %v", err)
		}
		time.Sleep(time.Duration(given.Expires) * time.Second)
		if _, found, err := known.OpenIDUser(t.Context(), given.Token); err != nil || found {
			t.Errorf("the token is good for longer than was said: %v", err)
		}
		client.Want(t, "@bob:a.example", "POST", path, `{}`, 403, "")
	})
}
