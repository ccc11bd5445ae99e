// SPDX-License-Identifier: Apache-2.0

package accounts

import (
	"context"
	"time"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/persistence"
)

// refresh is POST /refresh. The tokens that it gives are the device's next generation. A client that asks again, as the answer has not
// reached it, gets others in their place: those that nobody has used go.
func (a *Accounts) refresh(ctx context.Context, r *api.Request) (api.Reply, error) {
	var body struct {
		Token string `json:"refresh_token"`
	}
	if err := r.Decode(&body); err != nil {
		return api.Reply{}, err
	}
	if body.Token == "" {
		return api.Reply{}, api.MissingParam("refresh_token")
	}
	var made tokens
	var known bool
	err := a.store.Update(ctx, func(tx *persistence.Tx) error {
		g, found, err := findToken(tx, hashOf(body.Token))
		if known = found && g.refresh; err != nil || !known {
			return err
		}
		const all = 1 << 62 // more generations than there will be
		if err := a.endGenerations(tx, g.user, g.device, 0, g.generation); err != nil {
			return err // it is in use: those before it end
		}
		if err := a.endGenerations(tx, g.user, g.device, g.generation+1, all); err != nil {
			return err
		}
		made, err = a.issue(tx, g.user, g.device, g.generation+1, true, time.Now())
		return err
	})
	switch {
	case err != nil:
		return api.Reply{}, err
	case !known:
		return api.Reply{}, unknownToken("the refresh token is not valid", false)
	}
	return api.JSON(made)
}
