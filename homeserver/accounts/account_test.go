// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/strata-matrix/strata/persistence"
)

// Client-Server API, "Device Management".
func TestDevices(t *testing.T) {
	d := openDesk(t, nil)
	token := d.register("alice")
	d.login("alice", "D2")
	other := d.register("bob")
	d.want(200, "", "PUT", "devices/D2", token, object{"display_name": "Desk"})
	d.want(200, "", "PUT", "devices/D2", token, object{}) // changes nothing
	want := object{"devices": []any{object{"device_id": "D1"}, object{"device_id": "D2", "display_name": "Desk"}}}
	unseen := cmpopts.IgnoreMapEntries(func(name string, _ any) bool { return strings.HasPrefix(name, "last_seen_") }) // TestSightings
	if diff := cmp.Diff(want, d.want(200, "", "GET", "devices", token, nil).members, unseen); diff != "" {
		t.Error(diff)
	}
	d.want(404, "M_NOT_FOUND", "GET", "devices/D2", other, nil)
	d.want(404, "M_NOT_FOUND", "PUT", "devices/D2", other, object{"display_name": "mine"})
	d.want(404, "M_NOT_FOUND", "PUT", "devices/D2", other, object{})
	d.want(400, "M_BAD_JSON", "PUT", "devices/D2", token, object{"display_name": 5})
	d.want(400, "M_INVALID_PARAM", "PUT", "devices/D2", token, object{"display_name": string(make([]byte, maxDeviceName+1))})
}

// Client-Server API, "User-Interactive Authentication API".
func TestInteractive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, nil)
		token := d.register("alice")
		second, third := d.login("alice", "D2"), d.login("alice", "D3")
		bob := d.register("bob")
		session := d.want(401, "", "DELETE", "devices/D2", token, nil).text("session")
		with := func(proof object, session string) object {
			proof["session"] = session
			return object{"auth": proof}
		}
		d.want(401, "M_FORBIDDEN", "DELETE", "devices/D2", token, with(prove("alice", "wrong"), session))
		d.want(401, "M_FORBIDDEN", "DELETE", "devices/D2", token, with(prove("bob", "pw"), session))
		d.want(401, "M_UNRECOGNIZED", "DELETE", "devices/D2", token, with(object{"type": "m.login.dummy"}, session))
		d.want(401, "M_UNKNOWN", "DELETE", "devices/D3", token, with(prove("alice", "pw"), session)) // is for another device
		d.want(401, "M_UNKNOWN", "DELETE", "devices/D2", bob, with(prove("bob", "pw"), session))     // and another's
		d.want(401, "M_FORBIDDEN", "DELETE", "devices/D2", token, with(object{"type": "m.login.password", "password": "pw"}, session))
		d.want(200, "", "DELETE", "devices/D2", token, with(prove("@alice:a.example", "pw"), session))
		if d.isIn(second) || !d.isIn(third) || !d.isIn(token) {
			t.Error("another device went than the one that was named")
		}
		late := d.want(401, "", "DELETE", "devices/D3", token, object{}).text("session")
		time.Sleep(sessionTime)
		d.want(401, "M_UNKNOWN", "DELETE", "devices/D3", token, with(prove("alice", "pw"), late))
		d.want(200, "", "DELETE", "devices/D3", token, object{"auth": prove("alice", "pw")}) // in one request
		d.want(200, "", "DELETE", "devices/D3", token, object{"auth": prove("alice", "pw")}) // which is gone already
		d.login("alice", "D4")
		d.login("alice", "D5")
		d.want(400, "M_MISSING_PARAM", "POST", "delete_devices", token, object{"auth": prove("alice", "pw")})
		d.want(400, "M_INVALID_PARAM", "POST", "delete_devices", token, object{"devices": make([]string, maxDevicesNamed+1)})
		d.want(401, "", "POST", "delete_devices", token, object{"devices": []string{"D4"}})
		d.want(200, "", "POST", "delete_devices", token, object{"devices": []string{"D4", "D9", "D5", "D4"}, "auth": prove("alice", "pw")})
		want := []string{
			"alice is new", "alice has D1", "alice has D2", "alice has D3", "bob is new", "bob has D1", "alice lost D2", "alice lost D3", "alice has D4", "alice has D5", "alice lost D4 D5",
		}
		if diff := cmp.Diff(want, *d.told); diff != "" {
			t.Error(diff)
		}
	})
}

func TestSessionsAreBounded(t *testing.T) {
	i, now := NewInteractive(InteractiveConfig{}), time.Unix(1000, 0)
	for range maxSessions + 10 {
		i.begin("@a:a.example", "x", now)
	}
	if len(i.sessions) != maxSessions {
		t.Errorf("%d are kept", len(i.sessions))
	}
}

// Client-Server API, "POST /_matrix/client/v3/account/password".
func TestChangePassword(t *testing.T) {
	d := openDesk(t, nil)
	token, second := d.register("alice"), d.login("alice", "D2")
	d.want(401, "", "POST", "account/password", token, object{})
	d.want(401, "M_FORBIDDEN", "POST", "account/password", token, object{"new_password": "new", "auth": prove("alice", "wrong")})
	d.want(400, "M_MISSING_PARAM", "POST", "account/password", token, object{"auth": prove("alice", "pw")})
	d.want(200, "", "POST", "account/password", token, object{"new_password": "new", "logout_devices": false, "auth": prove("alice", "pw")})
	if !d.isIn(token) || !d.isIn(second) {
		t.Error("logout_devices is false, and a device is gone")
	}
	d.want(200, "", "POST", "account/password", token, object{"new_password": "newer", "auth": prove("alice", "new")})
	if !d.isIn(token) || d.isIn(second) {
		t.Error("the other device is to go, and this one to stay")
	}
	login := object{"type": "m.login.password", "user": "alice", "password": "new"}
	d.want(403, "M_FORBIDDEN", "POST", "login", "", login)
	login["password"] = "newer"
	d.want(200, "", "POST", "login", "", login)
}

// Client-Server API, "POST /_matrix/client/v3/account/deactivate".
func TestDeactivate(t *testing.T) {
	d := openDesk(t, nil)
	token := d.register("alice")
	d.want(401, "", "POST", "account/deactivate", token, object{})
	d.want(401, "M_FORBIDDEN", "POST", "account/deactivate", token, object{"auth": prove("alice", "wrong")})
	r := d.want(200, "", "POST", "account/deactivate", token, object{"auth": prove("alice", "pw")})
	if r.text("id_server_unbind_result") != "no-support" || d.isIn(token) {
		t.Errorf("%v, or the token is still good", r.members)
	}
	d.want(403, "M_USER_DEACTIVATED", "POST", "login", "", object{"type": "m.login.password", "user": "alice", "password": "pw"})
	d.want(400, "M_USER_IN_USE", "POST", "register", "", object{"username": "alice", "password": "pw", "auth": dummy})
	if diff := cmp.Diff([]string{"alice is new", "alice has D1", "alice lost D1", "alice is gone"}, *d.told); diff != "" {
		t.Error(diff)
	}
	err := d.store.View(t.Context(), func(tx *persistence.Tx) error {
		if known, err := Known(tx, "@alice:a.example"); known || err != nil {
			t.Errorf("known: %t, %v", known, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Client-Server API, "Adding Account Administrative Contact Information", of a server that takes none.
func TestThirdPartyIdentifiers(t *testing.T) {
	d := openDesk(t, nil)
	token := d.register("alice")
	if diff := cmp.Diff(object{"threepids": []any{}}, d.want(200, "", "GET", "account/3pid", token, nil).members); diff != "" {
		t.Error(diff)
	}
	d.want(403, "M_THREEPID_DENIED", "POST", "account/3pid/add", token, object{})
	d.want(403, "M_THREEPID_DENIED", "POST", "register/email/requestToken", "", object{})
	d.want(200, "", "POST", "account/3pid/delete", token, object{})
}
