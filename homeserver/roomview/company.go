// SPDX-License-Identifier: Apache-2.0

package roomview

import (
	"context"
	"fmt"
	"math"

	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// RoomsWith is the rooms of this server in which a user, of whatever server, is joined now. Its cost is that of the rooms that the
// user's server is in.
func (v *View) RoomsWith(ctx context.Context, user ident.UserID) (joined []ident.RoomID, err error) {
	var rooms []persistence.CommonRoom
	err = v.store.View(ctx, func(tx *persistence.Tx) (err error) {
		rooms, err = tx.RoomsWith(user.Server(), math.MaxInt)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("rooms with %s: %w", user, err)
	}
	for _, room := range rooms {
		var root state.Root
		copy(root[:], room.State)
		e, err := v.Slot(ctx, root, event.StateKey{Type: memberType, Key: string(user)})
		if err != nil {
			return nil, err
		}
		if isJoin(e) {
			joined = append(joined, room.ID)
		}
	}
	return joined, nil
}

// Joins is who is joined in a state.
func (v *View) Joins(ctx context.Context, root state.Root) (users []ident.UserID, err error) {
	changes, err := v.Moved(ctx, state.Root{}, root)
	for _, m := range changes {
		users = append(users, m.User)
	}
	return users, err
}

// Move is a user who is joined in one of two states and not in the other.
type Move struct {
	User   ident.UserID
	Joined bool
}

// Moved is who has come and gone between two states. Its cost is that of their difference.
func (v *View) Moved(ctx context.Context, from, to state.Root) (moves []Move, err error) {
	changes, err := v.engine.StateChanges(ctx, from, to)
	if err != nil {
		return nil, err
	}
	var ids []ident.EventID
	for _, c := range changes {
		for _, id := range []ident.EventID{c.A, c.B} {
			if c.Key.Type == memberType && id != "" {
				ids = append(ids, id)
			}
		}
	}
	members, err := v.engine.PlacedAll(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, c := range changes {
		if c.Key.Type != memberType {
			continue
		}
		was, is := isJoin(members[c.A].Event), isJoin(members[c.B].Event)
		if was != is {
			moves = append(moves, Move{ident.UserID(c.Key.Key), is})
		}
	}
	return moves, nil
}

func isJoin(e *event.Event) bool {
	if e == nil {
		return false
	}
	m, _ := e.Membership()
	return m.Membership == "join"
}
