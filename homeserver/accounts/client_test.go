// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// desk is accounts with a store of their own, asked as clients ask.
type desk struct {
	t        *testing.T
	path     string // of the store
	store    *persistence.Store
	accounts *Accounts
	handler  http.Handler
	told     *[]string // what the witness was told
}

// openDesk opens accounts; policy nil lets everybody register, without limits.
func openDesk(t *testing.T, policy *Policy) *desk {
	t.Helper()
	if policy == nil {
		policy = &Policy{Registration: true, SharedSecret: "sesame"}
	}
	path := filepath.Join(t.TempDir(), "strata.db")
	store, err := persistence.Open(t.Context(), persistence.Options{
		Path: path, ServerName: "a.example", NoSync: true, Annex: persistence.Annex{Name: "hs", Steps: []string{Schema}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &desk{t: t, path: path, store: store, told: new([]string)}
	passwords := NewPasswords(CheapCost())
	d.accounts = New(Config{
		Self: "a.example", Store: store, Passwords: passwords, Policy: *policy, Witnesses: []Witness{witness{d.told}},
		Interactive: NewInteractive(InteractiveConfig{Self: "a.example", Store: store, Passwords: passwords, Rate: policy.Logins}),
	})
	if d.handler, err = api.NewHandler(api.Config{Routes: d.accounts.Routes(), Tokens: d.accounts, Witness: d.accounts}); err != nil {
		t.Fatal(err)
	}
	return d
}

// witness notes what it is told, on the store's goroutine.
type witness struct{ told *[]string }

func (w witness) UserRegistered(_ *persistence.Tx, user ident.UserID) error {
	*w.told = append(*w.told, user.Localpart()+" is new")
	return nil
}

func (w witness) DeviceChanged(_ *persistence.Tx, user ident.UserID, device string) error {
	*w.told = append(*w.told, user.Localpart()+" has "+device)
	return nil
}

func (w witness) DevicesRemoved(_ *persistence.Tx, user ident.UserID, devices []string) error {
	*w.told = append(*w.told, user.Localpart()+" lost "+strings.Join(devices, " "))
	return nil
}

func (w witness) UserDeactivated(_ *persistence.Tx, user ident.UserID) error {
	*w.told = append(*w.told, user.Localpart()+" is gone")
	return nil
}

// object is a JSON object.
type object = map[string]any

// reply is what a client gets.
type reply struct {
	status  int
	members object
}

// text is a member that is a string, "" otherwise.
func (r reply) text(member string) string {
	s, _ := r.members[member].(string)
	return s
}

// ask sends a request; a path that does not begin with / is one of v3.
func (d *desk) ask(method, path, token string, body any) reply {
	d.t.Helper()
	if !strings.HasPrefix(path, "/") {
		path = "/_matrix/client/v3/" + path
	}
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil {
			d.t.Fatal(err)
		}
	}
	request := httptest.NewRequest(method, path, bytes.NewReader(sent))
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	w := httptest.NewRecorder()
	d.handler.ServeHTTP(w, request)
	r := reply{status: w.Code}
	if err := json.Unmarshal(w.Body.Bytes(), &r.members); err != nil {
		d.t.Fatalf("%s %s: %d %q", method, path, w.Code, w.Body)
	}
	return r
}

// want is ask that checks status and errcode.
func (d *desk) want(status int, code, method, path, token string, body any) reply {
	d.t.Helper()
	r := d.ask(method, path, token, body)
	if r.status != status || r.text("errcode") != code {
		d.t.Errorf("%s %s %v: %d %v, want %d %s", method, path, body, r.status, r.members, status, code)
	}
	return r
}

var dummy = object{"type": "m.login.dummy"}

// register makes a user, whose password is "pw" and whose device is D1, and gives their token.
func (d *desk) register(name string) string {
	d.t.Helper()
	r := d.want(200, "", "POST", "register", "", object{"username": name, "password": "pw", "device_id": "D1", "auth": dummy})
	return r.text("access_token")
}

// login gives the token of another device.
func (d *desk) login(name, device string) string {
	d.t.Helper()
	r := d.want(200, "", "POST", "login", "", object{
		"type": "m.login.password", "identifier": object{"type": "m.id.user", "user": name}, "password": "pw", "device_id": device,
	})
	return r.text("access_token")
}

// isIn tells whether a token is good.
func (d *desk) isIn(token string) bool {
	d.t.Helper()
	return d.ask("GET", "account/whoami", token, nil).status == 200
}

// prove is the proof of a password.
func prove(user, password string) object {
	return object{"type": "m.login.password", "identifier": object{"type": "m.id.user", "user": user}, "password": password}
}
