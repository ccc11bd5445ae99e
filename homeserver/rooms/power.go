// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// standing is what a user is and may do in a room by its current state.
type standing struct {
	membership    string
	level         auth.Level
	create, power *event.Event
}

func (r *Rooms) standing(ctx context.Context, room ident.RoomID, user ident.UserID) (s standing, err error) {
	if s.create, err = r.slot(ctx, room, "m.room.create", ""); err != nil {
		return standing{}, err
	}
	if s.power, err = r.slot(ctx, room, "m.room.power_levels", ""); err != nil {
		return standing{}, err
	}
	member, err := r.slot(ctx, room, memberType, string(user))
	if err != nil {
		return standing{}, err
	}
	s.membership, s.level = membershipOf(member), auth.Power(user, s.create, s.power)
	return s, nil
}

// maySet says whether the user could send state of a type.
func (s standing) maySet(kind string) bool {
	return s.membership == "join" && s.level >= auth.RequiredPower(kind, true, s.power)
}

// mayRedact refuses a redaction that is not the sender's to make: of another's event without the power for it. The rules of the room let
// it pass where both are of one server (P-61), which is to see to its own users (mod/redactions of CS, "Client behaviour").
func (r *Rooms) mayRedact(ctx context.Context, room ident.RoomID, user ident.UserID, target ident.EventID) error {
	stored, err := r.engine.Event(ctx, target)
	if err != nil || stored.Event.RoomID() != room || stored.Event.Sender() == user {
		return nil //nolint:nilerr // of what is not here the redaction takes effect when it comes, if the rules have it so
	}
	s, err := r.standing(ctx, room, user)
	if err != nil {
		return err
	}
	if s.level < auth.RedactLevel(s.power) {
		return api.Forbidden("redacting the events of others takes a power of %s, and yours is %s", auth.RedactLevel(s.power), s.level)
	}
	return nil
}
