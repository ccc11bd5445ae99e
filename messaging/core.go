// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"encoding/json"

	"github.com/strata-matrix/strata/transport/ident"
)

// Core is what a homeserver has and does that other servers ask for, each part by itself: nil is a feature that is not there. Its
// methods are called from any goroutine.
type Core struct {
	// Profiles answers for the profiles of our users (E-29). Without it each is empty.
	Profiles Profiles
	// Media is our content, which other servers may have (E-34, E-35).
	Media Media
}

// Profiles is a homeserver's profiles.
type Profiles interface {
	// Profile gives the fields of a user of ours, in JSON by their names; found is false when there is no such user.
	Profile(ctx context.Context, user ident.UserID) (fields map[string]json.RawMessage, found bool, err error)
}
