// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"bytes"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/strata-matrix/strata/persistence"
)

// Client-Server API, "POST /_matrix/client/v3/login".
func TestLogin(t *testing.T) {
	d := openDesk(t, nil)
	d.register("alice")
	if diff := cmp.Diff(object{"flows": []any{object{"type": "m.login.password"}}}, d.want(200, "", "GET", "login", "", nil).members); diff != "" {
		t.Error(diff)
	}
	byUser := func(user, password string) object {
		return object{"type": "m.login.password", "identifier": object{"type": "m.id.user", "user": user}, "password": password}
	}
	for name, c := range map[string]struct {
		status int
		code   string
		body   object
	}{
		"by name":           {200, "", byUser("alice", "pw")},
		"in capitals":       {200, "", byUser("ALICE", "pw")},
		"by id":             {200, "", byUser("@alice:a.example", "pw")},
		"as of old":         {200, "", object{"type": "m.login.password", "user": "alice", "password": "pw"}},
		"wrong password":    {403, "M_FORBIDDEN", byUser("alice", "no")},
		"nobody":            {403, "M_FORBIDDEN", byUser("bob", "pw")},
		"another server's":  {403, "M_FORBIDDEN", byUser("@alice:b.example", "pw")},
		"no user id":        {403, "M_FORBIDDEN", byUser("@alice", "pw")},
		"no password":       {400, "M_MISSING_PARAM", byUser("alice", "")},
		"no user":           {400, "M_MISSING_PARAM", object{"type": "m.login.password", "password": "pw"}},
		"no type":           {400, "M_MISSING_PARAM", object{"user": "alice", "password": "pw"}},
		"an unknown type":   {400, "M_UNKNOWN", object{"type": "m.login.sso"}},
		"a service":         {401, "M_UNKNOWN_TOKEN", object{"type": "m.login.application_service"}},
		"by e-mail":         {403, "M_FORBIDDEN", object{"type": "m.login.password", "identifier": object{"type": "m.id.thirdparty", "medium": "email", "address": "a@b"}, "password": "pw"}},
		"by e-mail, of old": {403, "M_FORBIDDEN", object{"type": "m.login.password", "medium": "email", "address": "a@b", "password": "pw"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := d.want(c.status, c.code, "POST", "login", "", c.body)
			if c.status == 200 && (r.text("user_id") != "@alice:a.example" || !d.isIn(r.text("access_token"))) {
				t.Errorf("%v", r.members)
			}
		})
	}
}

// Who logs in on a device that there is gets new tokens for it, and the old ones end; its name stays.
func TestLoginOnTheSameDevice(t *testing.T) {
	d := openDesk(t, nil)
	old := d.register("alice")
	if !d.isIn(old) {
		t.Fatal("a new token is not taken")
	}
	d.want(200, "", "PUT", "devices/D1", old, object{"display_name": "Phone"})
	fresh := d.login("alice", "D1")
	if d.isIn(old) || !d.isIn(fresh) {
		t.Error("the tokens of before are still good, or the new are not")
	}
	if r := d.want(200, "", "GET", "devices/D1", fresh, nil); r.text("display_name") != "Phone" {
		t.Errorf("%v", r.members)
	}
	if diff := cmp.Diff([]string{"alice is new", "alice has D1", "alice has D1"}, *d.told); diff != "" { // made, renamed
		t.Error(diff)
	}
}

func TestLogout(t *testing.T) {
	d := openDesk(t, nil)
	one, two, three := d.register("alice"), d.login("alice", "D2"), d.login("alice", "D3")
	other := d.register("bob")
	for _, token := range []string{one, two, three, other} {
		if !d.isIn(token) { // and is kept in memory from now on
			t.Fatal("not in")
		}
	}
	d.want(200, "", "POST", "logout", one, object{})
	d.want(401, "M_UNKNOWN_TOKEN", "GET", "account/whoami", one, nil)
	if !d.isIn(two) {
		t.Error("another device was logged out")
	}
	d.want(200, "", "POST", "logout/all", two, nil)
	if d.isIn(two) || d.isIn(three) || !d.isIn(other) {
		t.Error("logout/all ends all of the user, and nobody else")
	}
	want := []string{"alice is new", "alice has D1", "alice has D2", "alice has D3", "bob is new", "bob has D1", "alice lost D1", "alice lost D2 D3"}
	if diff := cmp.Diff(want, *d.told); diff != "" {
		t.Error(diff)
	}
}

// Nothing in the files of the store is of use to who reads it.
func TestTokensAreNotInTheStore(t *testing.T) {
	d := openDesk(t, nil)
	r := d.want(200, "", "POST", "register", "", object{"username": "alice", "password": "a password", "refresh_token": true, "auth": dummy})
	for _, suffix := range []string{"", "-wal"} {
		text, err := os.ReadFile(d.path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{r.text("access_token"), r.text("refresh_token"), "a password"} {
			if secret == "" || bytes.Contains(text, []byte(secret)) {
				t.Errorf("%q is in the file", secret)
			}
		}
	}
}

// Client-Server API, "Refreshing access tokens".
func TestRefresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, nil)
		first := d.want(200, "", "POST", "register", "", object{"username": "alice", "password": "pw", "refresh_token": true, "auth": dummy})
		if got := first.members["expires_in_ms"]; got != float64(refreshableTime.Milliseconds()) {
			t.Errorf("expires_in_ms %v", got)
		}
		refresh := func(from reply) reply {
			t.Helper()
			return d.want(200, "", "POST", "refresh", "", object{"refresh_token": from.text("refresh_token")})
		}
		lost := refresh(first)
		second := refresh(first) // the answer was lost: the client asks again
		if d.isIn(lost.text("access_token")) {
			t.Error("what was never used is still good")
		}
		if !d.isIn(first.text("access_token")) {
			t.Error("the old pair ended before the new one was used")
		}
		if !d.isIn(second.text("access_token")) || d.isIn(first.text("access_token")) {
			t.Error("the old pair ends when the new one is used")
		}
		d.want(401, "M_UNKNOWN_TOKEN", "POST", "refresh", "", object{"refresh_token": first.text("refresh_token")})
		time.Sleep(refreshableTime)
		late := d.want(401, "M_UNKNOWN_TOKEN", "GET", "account/whoami", second.text("access_token"), nil)
		if late.members["soft_logout"] != true {
			t.Errorf("expired: %v", late.members)
		}
		third := d.want(200, "", "POST", "refresh", second.text("access_token"), object{"refresh_token": second.text("refresh_token")})
		if !d.isIn(third.text("access_token")) {
			t.Error("not in after a refresh with the expired token")
		}
		d.want(200, "", "POST", "logout", third.text("access_token"), nil)
		gone := d.want(401, "M_UNKNOWN_TOKEN", "POST", "refresh", "", object{"refresh_token": third.text("refresh_token")})
		if gone.members["soft_logout"] != false {
			t.Errorf("after logout: %v", gone.members)
		}
		d.want(401, "M_UNKNOWN_TOKEN", "GET", "account/whoami", third.text("refresh_token"), nil)
		d.want(401, "M_UNKNOWN_TOKEN", "POST", "refresh", "", object{"refresh_token": d.register("bob")})
		d.want(400, "M_MISSING_PARAM", "POST", "refresh", "", object{})
		if n := d.rows("SELECT count(*) FROM hs_tokens"); n != 1 { // bob's
			t.Errorf("%d tokens are left", n)
		}
	})
}

func (d *desk) rows(query string) (n int) {
	d.t.Helper()
	err := d.store.View(d.t.Context(), func(tx *persistence.Tx) error {
		_, err := tx.QueryRow(query, nil, &n)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return n
}

// What was read before something was dropped is not kept: it might be what was dropped.
func TestCacheForgetsInTime(t *testing.T) {
	c := newCache()
	epoch := c.epoch()
	c.drop(func(grant) bool { return true })
	c.put(hashOf("late"), grant{user: "@a:a.example"}, epoch)
	if _, found := c.get(hashOf("late")); found {
		t.Error("a token that was read before it ended is kept")
	}
	for i := range maxCached + 10 {
		c.put(tokenHash{byte(i), byte(i >> 8), byte(i >> 16)}, grant{}, c.epoch())
	}
	if len(c.kept) != maxCached {
		t.Errorf("%d are kept", len(c.kept))
	}
}

// Attempts are limited by address, and by user until one succeeds.
func TestAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, &Policy{Registration: true, Logins: Rate{PerSecond: 0.1, Burst: 3}, Registrations: Rate{PerSecond: 0.1, Burst: 2}})
		d.register("alice")
		d.register("bob")
		register := object{"username": "carol", "password": "pw", "auth": dummy}
		if r := d.want(429, "M_LIMIT_EXCEEDED", "POST", "register", "", register); r.members["retry_after_ms"] != float64(10_000) {
			t.Errorf("%v", r.members)
		}
		body := object{"type": "m.login.password", "identifier": object{"type": "m.id.user", "user": "alice"}, "password": "wrong"}
		for range 3 {
			d.want(403, "M_FORBIDDEN", "POST", "login", "", body)
		}
		d.want(429, "M_LIMIT_EXCEEDED", "POST", "login", "", body)
		time.Sleep(10 * time.Second)
		d.want(200, "", "POST", "register", "", register)
		d.login("alice", "D2")
		d.want(429, "M_LIMIT_EXCEEDED", "POST", "login", "", body) // the address has had its share
		if wait := d.accounts.logins.take("@alice:a.example", time.Now()); wait != 0 {
			t.Errorf("a user who has logged in waits %v", wait)
		}
	})
}

func TestAttemptsAreBounded(t *testing.T) {
	a, now := newAttempts(Rate{PerSecond: 1, Burst: 1}), time.Unix(1000, 0)
	for i := range maxCounted + 100 {
		a.take(string(rune(i)), now)
	}
	if len(a.used) > maxCounted {
		t.Errorf("%d are counted", len(a.used))
	}
	if wait := newAttempts(Rate{}).take("x", now); wait != 0 {
		t.Errorf("no limit, and a wait of %v", wait)
	}
	for remote, want := range map[string]string{
		"192.0.2.1:5": "192.0.2.1", "[2001:db8:1:2:3::4]:5": "2001:db8:1:2::", "@": "@", "[::ffff:192.0.2.1]:5": "::ffff:192.0.2.1",
	} {
		if got := addressOf(remote); got != want {
			t.Errorf("%s: %s, want %s", remote, got, want)
		}
	}
}
