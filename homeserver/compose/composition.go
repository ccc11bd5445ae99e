// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

// composition is one answer in the making: of what happened after since and through now. It belongs to one goroutine.
type composition struct {
	c   *Composer
	ctx context.Context
	request
	now     persistence.Position
	clock   int64 // ms
	ignored map[ident.UserID]bool

	way  Way
	scan *scan // nil: all is looked up

	then  map[ident.RoomID]string // memberships as of since
	joins map[ident.RoomID]bool   // joined as of now

	out       response
	rooms     roomLists
	something bool // there is something to say
}

func newComposition(ctx context.Context, c *Composer, r request, now persistence.Position) *composition {
	return &composition{
		c: c, ctx: ctx, request: r, now: now, way: c.way, clock: time.Now().UnixMilli(), then: map[ident.RoomID]string{},
		joins: map[ident.RoomID]bool{},
		rooms: roomLists{
			Join: map[ident.RoomID]*joinedRoom{}, Invite: map[ident.RoomID]*invitedRoom{}, Knock: map[ident.RoomID]*knockedRoom{},
			Leave: map[ident.RoomID]*leftRoom{},
		},
	}
}

// cutError ends an answer early: what comes after cannot be told in the same one.
type cutError struct{ at persistence.Position }

func (e *cutError) Error() string { return fmt.Sprintf("the answer has to end at %d", e.at) }

// compose fills in every section.
func (x *composition) compose() error {
	var err error
	if x.ignored, err = x.c.ignoredBy(x.ctx, x.user); err != nil {
		return err
	}
	if !x.initial {
		before, err := x.c.view.Rooms(x.ctx, x.user, x.since)
		if err != nil {
			return err
		}
		for _, m := range before {
			x.then[m.Room] = m.Membership
		}
	}
	now, err := x.c.view.Rooms(x.ctx, x.user, x.now)
	if err != nil {
		return err
	}
	for _, m := range now {
		x.joins[m.Room] = m.Membership == "join"
	}
	x.plan(len(now))
	asides, err := x.asides(now)
	if err != nil {
		return err
	}
	if err := x.encryption(now, asides); err != nil {
		return err
	}
	if err := x.presence(); err != nil {
		return err
	}
	now = slices.DeleteFunc(now, func(m roomview.Membership) bool { return !x.filter.Room.wants(m.Room) })
	data, err := x.accountData()
	if err != nil {
		return err
	}
	for _, m := range now {
		if err := x.room(m, asides[m.Room], data[m.Room]); err != nil {
			return fmt.Errorf("sync of %s: %w", m.Room, err)
		}
	}
	if len(x.rooms.Join)+len(x.rooms.Invite)+len(x.rooms.Knock)+len(x.rooms.Leave) > 0 {
		x.out.Rooms, x.something = &x.rooms, true
	}
	return nil
}

// room tells of one room what there is to tell.
func (x *composition) room(m roomview.Membership, aside *aside, data []json.RawMessage) error {
	fresh := x.initial || m.Position > x.since
	switch m.Membership {
	case "join":
		return x.joined(m, aside, data)
	case "invite", "knock":
		if !fresh {
			return nil
		}
		return x.outside(m)
	case "leave", "ban":
		if fresh && !x.initial || (x.initial || x.fullState) && x.filter.Room.IncludeLeave {
			return x.left(m, data)
		}
	}
	return nil
}

// ordered is the slots of a state in an order that depends on them alone.
func ordered(slots map[event.StateKey]ident.EventID) []event.StateKey {
	keys := make([]event.StateKey, 0, len(slots))
	for key := range slots {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b event.StateKey) int { return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Key, b.Key)) })
	return keys
}
