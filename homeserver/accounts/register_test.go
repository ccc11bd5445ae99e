// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Client-Server API, "POST /_matrix/client/v3/register".
func TestRegister(t *testing.T) {
	d := openDesk(t, nil)
	first := d.want(401, "", "POST", "register", "", object{})
	if diff := cmp.Diff([]any{object{"stages": []any{"m.login.dummy"}}}, first.members["flows"]); diff != "" {
		t.Error(diff)
	}
	session := first.text("session")
	r := d.want(200, "", "POST", "register", "", object{
		"username": "Alice-UPPER", "password": "pässword", "auth": object{"type": "m.login.dummy", "session": session}, "initial_device_display_name": "Phone",
	})
	if r.text("user_id") != "@alice-upper:a.example" || r.text("access_token") == "" || len(r.text("device_id")) != 10 {
		t.Errorf("%v", r.members)
	}
	r = d.want(200, "", "POST", "register", "", object{"password": "pw", "auth": dummy, "inhibit_login": true})
	if r.text("user_id") == "" || r.text("access_token") != "" || r.text("device_id") != "" {
		t.Errorf("inhibit_login: %v", r.members)
	}
	for name, c := range map[string]struct {
		status int
		code   string
		path   string
		body   object
	}{
		"taken":            {400, "M_USER_IN_USE", "register", object{"username": "alice-upper", "password": "p", "auth": dummy}},
		"taken, no auth":   {400, "M_USER_IN_USE", "register", object{"username": "ALICE-upper"}},
		"a guest":          {403, "M_GUEST_ACCESS_FORBIDDEN", "register?kind=guest", object{}},
		"a strange kind":   {400, "M_INVALID_PARAM", "register?kind=bot", object{}},
		"no password":      {400, "M_MISSING_PARAM", "register", object{"username": "x", "auth": dummy}},
		"a long password":  {400, "M_INVALID_PARAM", "register", object{"username": "x", "password": strings.Repeat("x", 513), "auth": dummy}},
		"a long device id": {400, "M_INVALID_PARAM", "register", object{"username": "x", "password": "p", "device_id": strings.Repeat("x", 256), "auth": dummy}},
		"a session of old": {401, "M_UNKNOWN", "register", object{"username": "x", "password": "p", "auth": object{"type": "m.login.dummy", "session": session}}},
		"another stage":    {401, "M_UNRECOGNIZED", "register", object{"username": "x", "password": "p", "auth": object{"type": "m.login.sso"}}},
		"a service":        {401, "M_UNKNOWN_TOKEN", "register", object{"username": "x", "type": "m.login.application_service"}},
		"a typed auth":     {400, "M_BAD_JSON", "register", object{"auth": 5}},
		"a typed name":     {400, "M_BAD_JSON", "register", object{"username": 5}},
	} {
		t.Run(name, func(t *testing.T) { d.want(c.status, c.code, "POST", c.path, "", c.body) })
	}
	for _, name := range []string{"a b", "é", "\u212a", "a:b", "a@b", "us,er", "a\n", strings.Repeat("a", 250), "a:a.example"} {
		d.want(400, "M_INVALID_USERNAME", "POST", "register", "", object{"username": name, "password": "p", "auth": dummy})
	}
	for _, name := range []string{"q", "3", ".", "_", "=", "-", "/", "+"} {
		d.want(200, "", "POST", "register", "", object{"username": "chr" + name, "password": "p", "auth": dummy})
	}
	d.want(200, "", "GET", "register/available?username=free", "", nil)
	d.want(400, "M_USER_IN_USE", "GET", "register/available?username=chrq", "", nil)
	d.want(400, "M_INVALID_USERNAME", "GET", "register/available?username=a%20b", "", nil)
	d.want(400, "M_MISSING_PARAM", "GET", "register/available", "", nil)
}

func TestRegistrationIsClosed(t *testing.T) {
	d := openDesk(t, &Policy{})
	d.want(403, "M_FORBIDDEN", "POST", "register", "", object{"username": "x", "password": "p", "auth": dummy})
	d.want(400, "M_UNKNOWN", "GET", "/_synapse/admin/v1/register", "", nil)
	d.want(400, "M_UNKNOWN", "POST", "/_synapse/admin/v1/register", "", object{})
}

// Of many who want one name at a time one gets it.
func TestOneNameAtATime(t *testing.T) {
	d := openDesk(t, nil)
	var mu sync.Mutex
	got := map[int]int{}
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			r := d.ask("POST", "register", "", object{"username": "one", "password": "p", "auth": dummy})
			mu.Lock()
			defer mu.Unlock()
			got[r.status]++
		})
	}
	all.Wait()
	if diff := cmp.Diff(map[int]int{200: 1, 400: 15}, got); diff != "" {
		t.Error(diff)
	}
}

// Synapse's admin API, "Shared-Secret Registration".
func TestSharedSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, &Policy{SharedSecret: "sesame"})
		const path = "/_synapse/admin/v1/register"
		nonce := func() string { return d.want(200, "", "GET", path, "", nil).text("nonce") }
		request := func(nonce, name, secret string, admin bool) object {
			mac := hex.EncodeToString(secretMAC(secret, nonce, name, "pw", admin, ""))
			return object{"nonce": nonce, "username": name, "password": "pw", "admin": admin, "mac": mac}
		}
		used := nonce()
		r := d.want(200, "", "POST", path, "", request(used, "Root", "sesame", true))
		caller, err := d.accounts.Caller(t.Context(), r.text("access_token"))
		if err != nil || caller.User != "@root:a.example" || !caller.Admin {
			t.Errorf("%+v, %v", caller, err)
		}
		d.want(400, "M_UNKNOWN", "POST", path, "", request(used, "again", "sesame", true))
		d.want(403, "M_FORBIDDEN", "POST", path, "", request(nonce(), "eve", "guessed", true))
		d.want(400, "M_INVALID_USERNAME", "POST", path, "", request(nonce(), "us,er", "sesame", false))
		d.want(400, "M_USER_IN_USE", "POST", path, "", request(nonce(), "root", "sesame", false))
		d.want(400, "M_MISSING_PARAM", "POST", path, "", object{"nonce": nonce()})
		promoted := request(nonce(), "eve", "sesame", false)
		promoted["admin"] = true // of which the secret's owner knows nothing
		d.want(403, "M_FORBIDDEN", "POST", path, "", promoted)
		late := nonce()
		time.Sleep(nonceTime)
		d.want(400, "M_UNKNOWN", "POST", path, "", request(late, "late", "sesame", false))
	})
}

func TestNoncesAreBounded(t *testing.T) {
	n, now := newNonces(), time.Unix(1000, 0)
	for range 2 * maxNonces {
		n.give(now)
	}
	if len(n.given) != maxNonces {
		t.Errorf("%d are kept", len(n.given))
	}
	last := n.give(now.Add(2 * nonceTime))
	if len(n.given) != 1 || !n.spend(last, now.Add(2*nonceTime)) || n.spend(last, now.Add(2*nonceTime)) {
		t.Error("what was given last is not taken once")
	}
}
