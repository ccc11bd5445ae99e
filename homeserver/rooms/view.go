// SPDX-License-Identifier: Apache-2.0

package rooms

import (
	"context"
	"errors"
	"slices"

	"github.com/strata-matrix/strata/homeserver/api"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/visibility"
	"github.com/strata-matrix/strata/transport/ident"
)

// view is a room's state as a user may look at it: that of now, or that in which they left the room.
type view struct {
	engine *pdu.Engine
	room   ident.RoomID
	left   *event.Event // their leaving, nil for now
}

// errOutside is the refusal of who is not in a room, and never was.
var errOutside = api.Forbidden("you are not in the room and have not been before")

// viewOf says what of a room's state a user may look at (YC/rooms): who is in it, or anyone where the room shows itself to the world, that
// of now; who has left, that of then.
func (r *Rooms) viewOf(ctx context.Context, room ident.RoomID, user ident.UserID) (view, error) {
	v := view{engine: r.engine, room: room}
	member, err := r.slot(ctx, room, memberType, string(user))
	if errors.Is(err, pdu.ErrUnknownRoom) {
		return view{}, errOutside
	}
	if err != nil {
		return view{}, err
	}
	membership := membershipOf(member)
	if membership == "join" {
		return v, nil
	}
	setting, err := r.slot(ctx, room, visibility.Slot.Type, "")
	if err != nil {
		return view{}, err
	}
	if visibility.SettingOf(setting) == visibility.WorldReadable {
		return v, nil
	}
	if membership != "leave" && membership != "ban" {
		return view{}, errOutside
	}
	v.left = member
	before, err := v.slotBefore(ctx, event.StateKey{Type: "m.room.member", Key: string(user)})
	if err != nil && !errors.Is(err, pdu.ErrUnknownEvent) {
		return view{}, err
	}
	if membershipOf(before) != "join" {
		return view{}, errOutside
	}
	return v, nil
}

// membershipOf is the membership that an event gives, "" for none.
func membershipOf(e *event.Event) string {
	if e == nil {
		return ""
	}
	member, _ := e.Membership()
	return member.Membership
}

// slot is one slot of a room's current state, nil when it is empty.
func (r *Rooms) slot(ctx context.Context, room ident.RoomID, kind, key string) (*event.Event, error) {
	return r.engine.StateEvent(ctx, room, event.StateKey{Type: kind, Key: key})
}

// all is the whole state, in no order.
func (v view) all(ctx context.Context) ([]*event.Event, error) {
	if v.left == nil {
		return v.engine.State(ctx, v.room)
	}
	before, err := v.engine.StateAt(ctx, v.left.ID())
	if err != nil {
		return nil, err
	}
	slot, _ := v.left.Slot()
	return append(slices.DeleteFunc(before, func(e *event.Event) bool { return e.IsState(slot) }), v.left), nil
}

// one is one slot of the state, nil when it is empty.
func (v view) one(ctx context.Context, slot event.StateKey) (*event.Event, error) {
	switch {
	case v.left == nil:
		return v.engine.StateEvent(ctx, v.room, slot)
	case v.left.IsState(slot):
		return v.left, nil
	}
	return v.slotBefore(ctx, slot)
}

func (v view) slotBefore(ctx context.Context, slot event.StateKey) (*event.Event, error) {
	ids, err := v.engine.StateIDsAt(ctx, v.left.ID())
	if err != nil || ids[slot] == "" {
		return nil, err
	}
	stored, err := v.engine.Event(ctx, ids[slot])
	return stored.Event, err
}
