// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// connection is where a user was last seen with a device.
type connection struct {
	Address string `json:"ip"`
	At      int64  `json:"last_seen"` // ms
}

// whoSession and whoDevice are the steps to it that the specification has.
type whoSession struct {
	Connections []connection `json:"connections"`
}

type whoDevice struct {
	Sessions []whoSession `json:"sessions"`
}

// whois is GET /admin/whois/{userId} (CS "Server Administration"): for the user and for administrators. Of each device there is the last
// sighting.
func (a *Accounts) whois(ctx context.Context, r *api.Request) (api.Reply, error) {
	user, err := ident.ParseUserID(r.Param("userID"))
	if err != nil {
		return api.Reply{}, api.InvalidParam("%v", err)
	}
	if user != r.User && !r.Admin {
		return api.Reply{}, api.Forbidden("only administrators may look at others")
	}
	devices := map[string]whoDevice{}
	var known bool
	err = a.store.View(ctx, func(tx *persistence.Tx) error {
		if known, err = Known(tx, user); err != nil || !known {
			return err
		}
		seen, err := a.sightingsOf(tx, user)
		for id, s := range seen {
			devices[id] = whoDevice{Sessions: []whoSession{{Connections: []connection{{Address: s.Address, At: s.At}}}}}
		}
		return err
	})
	if err == nil && !known {
		err = api.NotFound("no such user here")
	}
	if err != nil {
		return api.Reply{}, err
	}
	return api.JSON(map[string]any{"user_id": user, "devices": devices})
}
