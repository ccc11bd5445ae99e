// SPDX-License-Identifier: Apache-2.0

package tally

import (
	"context"
	"time"

	"github.com/strata-matrix/strata/homeserver/push"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/auth"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/canonicaljson"
	"github.com/strata-matrix/strata/transport/ident"
)

const (
	memberType = "m.room.member"
	// maxHops is how many relations are followed to find an event's thread (CS "Receiving notifications", S-21).
	maxHops = 3
	// defaultNotification is the level that notifies a whole room where the power levels name none (YC m.room.power_levels).
	defaultNotification = 50
)

// Rooms is the room engine, as far as it is needed here.
type Rooms interface {
	PlacedAll(ctx context.Context, ids []ident.EventID) (map[ident.EventID]pdu.Placed, error)
}

// Deriver counts. It belongs to the feed's goroutine.
type Deriver struct {
	view  *roomview.View
	rooms Rooms
	tally *push.Tally
}

// New makes a deriver. The tally is used in the store's jobs.
func New(view *roomview.View, rooms Rooms, tally *push.Tally) *Deriver {
	return &Deriver{view: view, rooms: rooms, tally: tally}
}

// departure is a user of ours who has left a room, and has nothing unread there any more.
type departure struct {
	user ident.UserID
	room ident.RoomID
	at   persistence.Position
}

// Derive implements stream.Deriver.
func (d *Deriver) Derive(ctx context.Context, batch stream.Batch) (write func(*persistence.Tx) error, err error) {
	present := map[ident.RoomID]map[ident.UserID]bool{} // users of ours, as of the change that is looked at
	var all []push.Heard
	var gone []departure
	for i := range batch.Changes {
		c := &batch.Changes[i]
		if c.Kind != stream.Event && c.Kind != stream.State {
			continue
		}
		if present[c.Room] == nil {
			if present[c.Room], err = d.view.Locals(ctx, c.Room, batch.After); err != nil {
				return nil, err
			}
		}
		if c.Kind == stream.Event {
			h, err := d.hear(ctx, c, present[c.Room])
			if err != nil {
				return nil, err
			}
			if len(h.Listeners) > 0 {
				all = append(all, h)
			}
		}
		for _, m := range c.Members {
			present[c.Room][m.User] = m.Membership == "join"
			if m.Membership == "leave" || m.Membership == "ban" {
				gone = append(gone, departure{user: m.User, room: c.Room, at: c.Position})
			}
		}
	}
	if len(all) == 0 && len(gone) == 0 {
		return nil, nil
	}
	now := time.Now().UnixMilli()
	return func(tx *persistence.Tx) error {
		for _, h := range all {
			if err := d.tally.Note(tx, h, now); err != nil {
				return err
			}
		}
		for _, g := range gone {
			if err := push.Forget(tx, g.user, g.room, g.at); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// hear gathers what the rules look at.
func (d *Deriver) hear(ctx context.Context, c *stream.Change, present map[ident.UserID]bool) (push.Heard, error) {
	e := c.Placed.Event
	h := push.Heard{Position: c.Position}
	for _, m := range c.Members {
		if m.Membership == "invite" && m.User != e.Sender() {
			h.Listeners = append(h.Listeners, push.Listener{User: m.User})
		}
	}
	for user, joined := range present {
		if !joined || user == e.Sender() {
			continue
		}
		member, err := d.view.Slot(ctx, c.Placed.Before, event.StateKey{Type: memberType, Key: string(user)})
		if err != nil {
			return push.Heard{}, err
		}
		listener := push.Listener{User: user}
		if member != nil {
			listener.DisplayName, _ = member.Content().Get("displayname").Text()
		}
		h.Listeners = append(h.Listeners, listener)
	}
	if len(h.Listeners) == 0 {
		return h, nil
	}
	var err error
	if h.Subject, err = d.subject(ctx, c); err != nil {
		return push.Heard{}, err
	}
	h.Thread, err = d.thread(ctx, e)
	return h, err
}

// subject is an event with what rules ask of its room.
func (d *Deriver) subject(ctx context.Context, c *stream.Change) (s push.Subject, err error) {
	e := c.Placed.Event
	s = push.Subject{Room: c.Room, Sender: e.Sender()}
	if s.Event, err = canonicaljson.Parse(e.JSON(), canonicaljson.Lenient); err != nil {
		return s, err
	}
	if s.Members, err = d.view.JoinedIn(ctx, c.RoomNID, c.Placed.Before); err != nil {
		return s, err
	}
	power, err := d.view.Slot(ctx, c.Placed.Before, event.StateKey{Type: "m.room.power_levels"})
	if err != nil {
		return s, err
	}
	create, err := d.view.Slot(ctx, c.Placed.Before, event.StateKey{Type: "m.room.create"})
	if err != nil {
		return s, err
	}
	s.MayNotify = func(notification string) bool {
		needed := int64(defaultNotification)
		if power != nil {
			if n, ok := power.Content().Get("notifications").Get(notification).Int(); ok {
				needed = n
			}
		}
		return create != nil && auth.Power(e.Sender(), create, power) >= auth.Level(needed)
	}
	return s, nil
}

// thread is the root of the thread that an event is in, "" of the main timeline.
func (d *Deriver) thread(ctx context.Context, e *event.Event) (string, error) {
	for range maxHops {
		parent, kind, related := e.Relation()
		if !related {
			return "", nil
		}
		if kind == event.ThreadRelation {
			return string(parent), nil
		}
		found, err := d.rooms.PlacedAll(ctx, []ident.EventID{parent})
		if err != nil {
			return "", err
		}
		above, ok := found[parent]
		if !ok || above.Event.RoomID() != e.RoomID() {
			return "", nil
		}
		e = above.Event
	}
	return "", nil
}
