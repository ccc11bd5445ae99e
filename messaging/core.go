// SPDX-License-Identifier: Apache-2.0

package messaging

import (
	"context"
	"encoding/json"

	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// Core is what a homeserver has and does that other servers ask for, each part by itself: nil is a feature that is not there. Its
// methods are called from any goroutine.
type Core struct {
	// Profiles answers for the profiles of our users (E-29). Without it each is empty.
	Profiles Profiles
	// Media is our content, which other servers may have (E-34, E-35).
	Media Media
	// Invites is told of invitations and knocks (E-20, E-21). Without it nobody of ours can be invited from outside.
	Invites Invites

	// Typing, Presence and Receipts hear what users of other servers do now. Each without a listener is not taken notice of.
	Typing   Typing
	Presence Presence
	Receipts Receipts

	// ToDevice takes messages to devices of our users (M-55), DeviceLists follows the devices of users of other servers (M-56 to M-60).
	// Without them both are dropped.
	ToDevice    ToDevice
	DeviceLists DeviceLists
	// Devices answers for the devices and keys of our users (E-31 to E-33).
	Devices Devices

	// Aliases and PublicRooms answer for the aliases and the directory of rooms (E-24, E-25, E-28), OpenID for tokens of our users (E-30).
	Aliases     Aliases
	PublicRooms PublicRooms
	OpenID      OpenID
}

// Profiles is a homeserver's profiles.
type Profiles interface {
	// Profile gives the fields of a user of ours, in JSON by their names; found is false when there is no such user.
	Profile(ctx context.Context, user ident.UserID) (fields map[string]json.RawMessage, found bool, err error)
}

// Invites is what a homeserver has to do with users of ours who stand outside of a room that this server is not in. In a room that it is
// in, an invitation or a knock is an event like any other, and comes by Subscribe.
type Invites interface {
	// MayInvite says whether a user of ours takes an invitation: nil, ErrInviteRefused also when there is no such user, or
	// ErrInviteBlocked (M-37). It is asked about invitations by our own users too.
	MayInvite(ctx context.Context, inviter, invitee ident.UserID, room ident.RoomID) error
	// Changed tells how a user of ours stands to a room from now on. It runs in the job that makes it so, and what it stores is durable
	// with it: no network and no waiting in there. A job that fails is as if it had not been, and may run again.
	Changed(tx *persistence.Tx, s Standing) error
}
