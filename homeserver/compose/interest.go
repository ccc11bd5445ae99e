// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"context"
	"slices"

	"github.com/strata-matrix/strata/homeserver/ephemeral"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/transport/ident"
)

// interest is what a request that waits is to be woken for: what it would have something to say about, and nothing else (N3).
func (c *Composer) interest(ctx context.Context, r request) (func(*stream.Change) bool, error) {
	ignored, err := c.ignoredBy(ctx, r.user)
	if err != nil {
		return nil, err
	}
	return func(change *stream.Change) bool { return r.concerns(change, ignored) }, nil
}

// concerns says whether a change that the user may be told of is one that the request wants. It waits for nothing.
func (r *request) concerns(c *stream.Change, ignored map[ident.UserID]bool) bool {
	if c.Room != "" && !r.filter.Room.wants(c.Room) {
		return false
	}
	switch c.Kind {
	case stream.Event:
		return r.moves(c, ignored) || c.Moves || r.concernsEvent(c, ignored)
	case stream.State:
		return r.moves(c, ignored) || c.Moves || slices.ContainsFunc(c.Slots, func(slot event.StateKey) bool {
			return r.filter.Room.State.WantsType(slot.Type)
		})
	case stream.AccountData:
		filter := &r.filter.AccountData
		if c.Room != "" {
			filter = &r.filter.Room.AccountData
		}
		return filter.WantsType(c.Ref) && filter.WantsOf(c.Room)
	case stream.Invite, stream.Knock, stream.Counts, stream.DeviceList:
		return true
	case stream.Typing:
		return r.filter.Room.Ephemeral.WantsType("m.typing") && r.filter.Room.Ephemeral.WantsOf(c.Room)
	case stream.Receipt:
		filter := &r.filter.Room.Ephemeral
		if c.Ref == ephemeral.PrivateReceipt && c.User != r.user {
			return false
		}
		return filter.WantsType("m.receipt") && filter.WantsOf(c.Room) && filter.WantsSender(c.User)
	case stream.Presence:
		return r.filter.Presence.WantsType("m.presence") && r.filter.Presence.WantsSender(c.User)
	case stream.ToDevice, stream.KeyCount:
		return c.Device == r.device
	}
	return false
}

// moves says whether a change moves the user themselves from one section of the answer to another.
func (r *request) moves(c *stream.Change, ignored map[ident.UserID]bool) bool {
	return slices.ContainsFunc(c.Members, func(m stream.Member) bool {
		return m.User == r.user && m.Membership != m.Was && !(m.Membership == "invite" && ignored[c.User])
	})
}

// concernsEvent says whether an event is for the timeline, or the state. Of one that is not at hand any more nobody knows.
func (r *request) concernsEvent(c *stream.Change, ignored map[ident.UserID]bool) bool {
	if c.Placed == nil {
		return true
	}
	_, isState := c.Placed.Event.StateKey()
	if !isState && ignored[c.User] {
		return false
	}
	return r.filter.Room.Timeline.Wants(c.Placed.Event) || isState && r.filter.Room.State.Wants(c.Placed.Event)
}
