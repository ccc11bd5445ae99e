// SPDX-License-Identifier: Apache-2.0

package keys

import (
	"context"

	"github.com/strata-matrix/strata/homeserver/accounts"
	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/messaging"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Asker asks other servers for keys of their users. *messaging.Server is one.
type Asker interface {
	QueryKeys(ctx context.Context, server ident.ServerName, users map[ident.UserID][]string) (messaging.Keys, error)
	ClaimKeys(ctx context.Context, server ident.ServerName, wanted messaging.KeyClaims) (messaging.ClaimedKeys, error)
}

// Teller tells other servers of our users' keys, and has theirs tell us, in the job of its caller. *messaging.Server is one.
type Teller interface {
	SendDeviceListUpdate(tx *persistence.Tx, user ident.UserID, device messaging.Device) error
	SendSigningKeyUpdate(tx *persistence.Tx, user ident.UserID, keys messaging.SigningKeys) error
	FollowDevices(tx *persistence.Tx, user ident.UserID) error
}

// Company knows whom users of ours share rooms with. *pdu.Engine is one.
type Company interface {
	// Meets tells whether a user shares a room with a user of ours.
	Meets(tx *persistence.Tx, user ident.UserID) (bool, error)
}

// Config is what Keys are made of; all of it is needed.
type Config struct {
	Self    ident.ServerName
	Store   *persistence.Store // its annex has Schema
	Asker   Asker
	Teller  Teller
	Company Company
	// Confirm lets a request through in which the caller proves once more who they are, for an operation.
	Confirm func(ctx context.Context, r *api.Request, operation string) error
}

// Keys is the keys of devices and users. It has no state of its own: all stands in the store.
type Keys struct {
	accounts.Bystander
	self    ident.ServerName
	store   *persistence.Store
	asker   Asker
	teller  Teller
	company Company
	confirm func(ctx context.Context, r *api.Request, operation string) error
}

var (
	_ messaging.Devices = (*Keys)(nil)
	_ accounts.Witness  = (*Keys)(nil)
)

// New makes keys of what stands in the store.
func New(cfg Config) *Keys {
	return &Keys{
		self: cfg.Self, store: cfg.Store, asker: cfg.Asker, teller: cfg.Teller, company: cfg.Company, confirm: cfg.Confirm,
	}
}

// Routes are the endpoints of this package.
func (k *Keys) Routes() []api.Route {
	const keys = "/_matrix/client/v3/keys/"
	return []api.Route{
		{Method: "POST", Pattern: keys + "upload", Handle: k.upload},
		{Method: "POST", Pattern: keys + "query", Handle: k.query},
		{Method: "POST", Pattern: keys + "claim", Handle: k.claim},
		{Method: "POST", Pattern: keys + "device_signing/upload", Handle: k.uploadSigningKeys},
		{Method: "POST", Pattern: keys + "signatures/upload", Handle: k.uploadSignatures},
	}
}
