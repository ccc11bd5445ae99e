// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Schema is the tables of this package, a step of the homeserver's annex.
const Schema = usersSchema + devicesSchema + tokensSchema

// Policy is who may have an account. The zero value lets nobody register and limits nothing.
type Policy struct {
	// Registration lets in whoever asks.
	Registration bool
	// SharedSecret lets in who knows it, at Synapse's /_synapse/admin/v1/register; "" is nobody.
	SharedSecret string
	// Logins is how often an address may log in, or a user with a wrong password; Registrations how often an address may register.
	Logins, Registrations Rate
}

// Config is what accounts are made of; all of it is needed, Policy and Witnesses excepted.
type Config struct {
	Self        ident.ServerName
	Store       *persistence.Store // its annex has Schema
	Passwords   *Passwords
	Interactive *Interactive
	Policy      Policy
	Witnesses   []Witness
}

// Accounts is the users of a server, their devices and tokens. What requests share is in the store, the cache, the sightings, the counters
// and the nonces, each with its own lock.
type Accounts struct {
	self          ident.ServerName
	store         *persistence.Store
	passwords     *Passwords
	interactive   *Interactive
	policy        Policy
	witnesses     []Witness
	cache         *cache
	sightings     *sightings
	logins        *attempts
	registrations *attempts
	nonces        *nonces
}

var (
	_ api.Tokens  = (*Accounts)(nil)
	_ api.Witness = (*Accounts)(nil)
)

// New makes accounts of what stands in the store. Where devices are seen is written by Run.
func New(cfg Config) *Accounts {
	return &Accounts{
		self: cfg.Self, store: cfg.Store, passwords: cfg.Passwords, interactive: cfg.Interactive, policy: cfg.Policy,
		witnesses: cfg.Witnesses, cache: newCache(), sightings: newSightings(), logins: newAttempts(cfg.Policy.Logins),
		registrations: newAttempts(cfg.Policy.Registrations), nonces: newNonces(),
	}
}

// Routes are the endpoints of this package.
func (a *Accounts) Routes() []api.Route {
	const v3 = "/_matrix/client/v3/"
	open := func(method, pattern string, handle handler) api.Route {
		return api.Route{Method: method, Pattern: pattern, Open: true, Handle: handle}
	}
	own := func(method, path string, handle handler) api.Route {
		return api.Route{Method: method, Pattern: v3 + path, Handle: handle}
	}
	return append([]api.Route{
		open("POST", v3+"register", a.register),
		open("GET", v3+"register/available", a.available),
		open("GET", "/_synapse/admin/v1/register", a.giveNonce),
		open("POST", "/_synapse/admin/v1/register", a.registerWithSecret),
		open("GET", v3+"login", a.loginFlows),
		open("POST", v3+"login", a.login),
		open("POST", v3+"refresh", a.refresh),
		own("POST", "logout", a.logout),
		own("POST", "logout/all", a.logoutAll),
		own("GET", "account/whoami", a.whoami),
		own("POST", "account/password", a.changePassword),
		own("POST", "account/deactivate", a.deactivate),
		own("GET", "devices", a.listDevices),
		own("GET", "devices/{device}", a.getDevice),
		own("PUT", "devices/{device}", a.putDevice),
		own("DELETE", "devices/{device}", a.deleteDevice),
		own("POST", "delete_devices", a.deleteDevices),
		own("GET", "admin/whois/{userID}", a.whois),
	}, thirdPartyRoutes(v3)...)
}

type handler = func(context.Context, *api.Request) (api.Reply, error)

// thirdPartyRoutes are those of e-mail addresses and telephone numbers, which this server does not know: no user has any, and none can
// be added.
func thirdPartyRoutes(v3 string) (routes []api.Route) {
	add := func(method, path string, open bool, handle handler) {
		routes = append(routes, api.Route{Method: method, Pattern: v3 + path, Open: open, Handle: handle})
	}
	denied := func(context.Context, *api.Request) (api.Reply, error) {
		return api.Reply{}, &api.Error{
			Status: http.StatusForbidden, Code: "M_THREEPID_DENIED", Message: "this server takes no e-mail addresses and telephone numbers",
		}
	}
	none := func(context.Context, *api.Request) (api.Reply, error) {
		return api.JSON(map[string][]string{"threepids": {}})
	}
	unbound := func(context.Context, *api.Request) (api.Reply, error) {
		return api.JSON(map[string]string{"id_server_unbind_result": "no-support"})
	}
	add("GET", "account/3pid", false, none)
	for _, path := range []string{"account/3pid", "account/3pid/add", "account/3pid/bind"} {
		add("POST", path, false, denied)
	}
	for _, path := range []string{"account/3pid/delete", "account/3pid/unbind"} {
		add("POST", path, false, unbound)
	}
	for _, path := range []string{"register", "account/password", "account/3pid"} {
		for _, medium := range []string{"email", "msisdn"} {
			add("POST", path+"/"+medium+"/requestToken", true, denied)
		}
	}
	return routes
}

// entry is what who comes in asks for.
type entry struct {
	user       ident.UserID
	device     Device
	refreshing bool // refresh_token: the client can refresh its tokens
}

// welcome is the answer to who has come in.
type welcome struct {
	User   ident.UserID     `json:"user_id"`
	Server ident.ServerName `json:"home_server"` // deprecated, and still read
	Device string           `json:"device_id,omitempty"`
	tokens
}

// wanted is the part of a request to come in that is about the device.
type wanted struct {
	Device     string `json:"device_id"`
	DeviceName string `json:"initial_device_display_name"`
	Refreshing bool   `json:"refresh_token"`
}

// entryOf checks the device that is asked for; one without an id gets one.
func (w wanted) entryOf(user ident.UserID) (entry, error) {
	e := entry{user: user, device: Device{ID: w.Device, Name: w.DeviceName}, refreshing: w.Refreshing}
	if e.device.ID == "" {
		e.device.ID = newDeviceID()
	}
	if len(e.device.ID) > maxDeviceID || strings.ContainsRune(e.device.ID, 0) {
		return entry{}, api.InvalidParam("device_id: at most %d bytes, and no NUL", maxDeviceID)
	}
	return e, checkName(e.device.Name)
}

func checkName(name string) error {
	if len(name) > maxDeviceName {
		return api.InvalidParam("the name of a device has at most %d bytes", maxDeviceName)
	}
	return nil
}

// admit gives a device tokens, and enters it if it is new. A device that comes in again loses the tokens that it had.
func (a *Accounts) admit(tx *persistence.Tx, e entry, now time.Time) (welcome, error) {
	added, err := a.addDevice(tx, e.user, e.device, now)
	if err == nil && !added {
		err = a.dropTokens(tx, e.user, e.device.ID)
	}
	if err != nil {
		return welcome{}, err
	}
	made, err := a.issue(tx, e.user, e.device.ID, 0, e.refreshing, now)
	return welcome{User: e.user, Server: a.self, Device: e.device.ID, tokens: made}, err
}
