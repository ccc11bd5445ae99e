// SPDX-License-Identifier: Apache-2.0

package compose

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/strata-matrix/strata/homeserver/push"
	"github.com/strata-matrix/strata/homeserver/roomview"
	"github.com/strata-matrix/strata/homeserver/stream"
	"github.com/strata-matrix/strata/pdu"
	"github.com/strata-matrix/strata/pdu/event"
	"github.com/strata-matrix/strata/pdu/state"
	"github.com/strata-matrix/strata/persistence"
	"github.com/strata-matrix/strata/transport/ident"
)

const memberType = "m.room.member"

// roomPart is the timeline and the state of one room in the making.
type roomPart struct {
	x     *composition
	room  ident.RoomID
	nid   int64
	sight *roomview.Sight

	after persistence.Position // where the timeline may begin at the earliest
	end   persistence.Position // where it ends: now, or where the user left
	full  bool                 // the client has no state of the room, or wants it all

	tail         roomview.Tail
	then, at, to state.Root // as of since, at the start of the timeline, at its end
}

// joined tells of a room that the user is in.
func (x *composition) joined(m roomview.Membership, aside *aside, data []json.RawMessage) error {
	fresh := x.initial || x.then[m.Room] != "join"
	if fresh && !x.initial { // what was set before is news too
		all, err := x.accountDataSince(0)
		if err != nil {
			return err
		}
		data = all[m.Room]
	}
	out := &joinedRoom{AccountData: some(data), Ephemeral: some(aside.ephemeral)}
	if aside.changed || fresh {
		p, err := x.part(m, fresh, x.now)
		if err != nil {
			return err
		}
		if out.Timeline, err = p.timeline(fresh && !x.initial); err != nil {
			return err
		}
		if out.states, err = p.states(); err != nil {
			return err
		}
		if out.Summary, err = p.summary(); err != nil {
			return err
		}
		if !p.full && len(out.Timeline.Events) == 0 && !out.Timeline.Limited && out.states.empty() && out.Summary == nil {
			out.Timeline, out.states = nil, states{}
		}
	}
	if aside.counts {
		out.Unread, out.Threads = x.unread(aside)
	}
	if told := out.Timeline != nil || out.AccountData != nil || out.Ephemeral != nil; told || aside.counted {
		x.complete(&out.Timeline, &out.states)
		for _, section := range []**list{&out.Ephemeral, &out.AccountData} {
			if *section == nil {
				*section = listOf(nil)
			}
		}
		x.rooms.Join[m.Room] = out
	}
	return nil
}

// unread is how much is unread: of the main timeline and each thread where the filter asks for that, else of all (S-21).
func (x *composition) unread(a *aside) (*push.Count, map[string]push.Count) {
	all := a.unread
	if x.filter.Room.Timeline.UnreadThreadNotifications {
		return &all, a.threads
	}
	for _, thread := range a.threads {
		all.Notifications += thread.Notifications
		all.Highlights += thread.Highlights
	}
	return &all, nil
}

// complete gives a room the sections that it has in any case, with nothing in them (S-07, S-13).
func (x *composition) complete(t **timeline, s *states) {
	if *t == nil {
		*t = &timeline{Events: []json.RawMessage{}, PrevBatch: stream.Token(x.now)}
	}
	if *s == (states{}) {
		*s = x.statesOf(nil)
	}
}

// empty says that there is no state to tell.
func (s states) empty() bool {
	for _, l := range []*list{s.State, s.StateAfter, s.Unstable} {
		if l != nil && len(l.Events) > 0 {
			return false
		}
	}
	return true
}

// statesOf puts a state under the name that it was asked for by.
func (x *composition) statesOf(events []json.RawMessage) states {
	switch x.request.after {
	case atEnd:
		return states{StateAfter: listOf(events)}
	case atEndName:
		return states{Unstable: listOf(events)}
	}
	return states{State: listOf(events)}
}

// part gathers what there is to tell of a room through end.
func (x *composition) part(m roomview.Membership, fresh bool, end persistence.Position) (*roomPart, error) {
	p := &roomPart{x: x, room: m.Room, after: x.since, end: end, full: fresh || x.fullState}
	if fresh {
		p.after = 0
	}
	var err error
	if p.nid, err = x.c.view.Number(x.ctx, m.Room); err != nil {
		return nil, err
	}
	if p.sight, err = x.c.view.Sight(x.ctx, x.user, m.Room, end, m.Membership); err != nil {
		return nil, err
	}
	if err := p.findTail(); err != nil {
		return nil, err
	}
	if err := p.repair(fresh); err != nil {
		return nil, err
	}
	return p, p.roots()
}

// choose says whether an event is for the timeline: wanted, not of somebody who is ignored (S-29), and visible.
func (p *roomPart) choose(ctx context.Context, e *pdu.Placed) (roomview.Choice, error) {
	if !p.x.filter.Room.Timeline.Wants(e.Event) {
		return roomview.Skip, nil
	}
	if _, isState := e.Event.StateKey(); !isState && p.x.ignored[e.Event.Sender()] {
		return roomview.Skip, nil
	}
	if visible, err := p.sight.Sees(ctx, e); err != nil || !visible {
		return roomview.Stop, err
	}
	return roomview.Take, nil
}

// roots looks up the states that matter.
func (p *roomPart) roots() error {
	return p.x.c.store.View(p.x.ctx, func(tx *persistence.Tx) (err error) {
		if !p.full {
			if p.then, err = pdu.StateAsOf(tx, p.nid, p.x.since); err != nil {
				return err
			}
		}
		if p.at, err = pdu.StateAsOf(tx, p.nid, p.tail.Start(p.end)); err != nil {
			return err
		}
		p.to, err = pdu.StateAsOf(tx, p.nid, p.end)
		return err
	})
}

// timeline writes the timeline. One that a user has come back to is limited whatever it holds (K6).
func (p *roomPart) timeline(limited bool) (*timeline, error) {
	t := &timeline{Events: []json.RawMessage{}, Limited: p.tail.Limited || limited, PrevBatch: stream.Token(p.end)}
	sent, err := p.x.transactions(p.tail.Events)
	if err != nil {
		return nil, err
	}
	var bundles roomview.Bundles
	if t.Limited { // otherwise the client has seen what relates to what, or will (S-31)
		if bundles, err = p.sight.Bundles(p.x.ctx, p.tail.Events, p.x.ignored); err != nil {
			return nil, err
		}
	}
	for _, e := range p.tail.Events {
		written, err := p.x.write(p.sight, e, sent, bundles)
		if err != nil {
			return nil, err
		}
		t.Events = append(t.Events, written)
	}
	if len(p.tail.Events) > 0 {
		t.PrevBatch = roomview.TokenBefore(p.tail.Events[0])
	}
	return t, nil
}

// states writes the state: what has changed since the client knew it, or all (S-06, S-07).
func (p *roomPart) states() (states, error) {
	root := p.at
	if p.x.request.after != atStart {
		root = p.to
	}
	changes, err := p.x.c.engine.StateChanges(p.x.ctx, p.then, root)
	if err != nil {
		return states{}, err
	}
	slots := make(map[event.StateKey]ident.EventID, len(changes))
	for _, c := range changes {
		if c.B != "" {
			slots[c.Key] = c.B
		}
	}
	if p.x.request.after == atStart {
		if err := p.addRepairs(slots); err != nil {
			return states{}, err
		}
	}
	if p.x.filter.Room.State.LazyLoadMembers {
		if err := p.loadLazily(slots, root); err != nil {
			return states{}, err
		}
	}
	events, err := p.writeState(slots)
	return p.x.statesOf(events), err
}

// writeState writes what the filter lets pass of a state.
func (p *roomPart) writeState(slots map[event.StateKey]ident.EventID) ([]json.RawMessage, error) {
	keys := slices.DeleteFunc(ordered(slots), func(key event.StateKey) bool { return !p.x.filter.Room.State.WantsType(key.Type) })
	ids := make([]ident.EventID, len(keys))
	for i, key := range keys {
		ids[i] = slots[key]
	}
	found, err := p.x.c.engine.PlacedAll(p.x.ctx, ids)
	if err != nil {
		return nil, err
	}
	var events []json.RawMessage
	for _, id := range ids {
		e, ok := found[id]
		if !ok || !p.x.filter.Room.State.Wants(e.Event) {
			continue
		}
		written, err := p.x.write(p.sight, &e, nil, nil)
		if err != nil {
			return nil, err
		}
		events = append(events, written)
	}
	return events, nil
}

// loadLazily leaves members out whom the client need not know yet, and adds those whom it must: who has sent what is in the timeline,
// heroes and, where the state is told anew, the user (S-26). Where it is not, every change of a membership stays in (S-27).
func (p *roomPart) loadLazily(slots map[event.StateKey]ident.EventID, root state.Root) error {
	if p.full {
		for key := range slots {
			if key.Type == memberType {
				delete(slots, key)
			}
		}
	}
	wanted := []ident.UserID{}
	for _, e := range p.tail.Events {
		wanted = append(wanted, e.Event.Sender())
	}
	if p.full {
		wanted = append(wanted, p.x.user)
		s, err := p.x.c.view.Summary(p.x.ctx, p.nid, p.to, p.x.user)
		if err != nil {
			return err
		}
		wanted = append(wanted, s.Heroes...)
	}
	slices.Sort(wanted)
	for _, user := range slices.Compact(wanted) {
		key := event.StateKey{Type: memberType, Key: string(user)}
		if slots[key] != "" {
			continue
		}
		id, err := p.x.c.engine.StateIn(p.x.ctx, root, key)
		if err != nil {
			return err
		}
		if id != "" {
			slots[key] = id
		}
	}
	return nil
}

// summary is told when it is not what it was.
func (p *roomPart) summary() (*summary, error) {
	now, err := p.x.c.view.Summary(p.x.ctx, p.nid, p.to, p.x.user)
	if err != nil {
		return nil, err
	}
	if !p.full {
		then, err := p.x.c.view.Summary(p.x.ctx, p.nid, p.then, p.x.user)
		if err != nil {
			return nil, err
		}
		if then.Joined == now.Joined && then.Invited == now.Invited && slices.Equal(then.Heroes, now.Heroes) {
			return nil, nil
		}
	}
	return &summary{Heroes: now.Heroes, Joined: now.Joined, Invited: now.Invited}, nil
}

// write writes an event for the client, with the id under which the device has sent it if that is among those that are given.
func (x *composition) write(sight *roomview.Sight, e *pdu.Placed, sent map[ident.EventID]string, bundles roomview.Bundles) (json.RawMessage, error) {
	written, err := sight.Write(x.ctx, e, roomview.Format{
		Now: x.clock, Federation: x.filter.EventFormat == "federation", Bundles: bundles,
		Transaction: func(_ context.Context, e *event.Event) (string, error) { return sent[e.ID()], nil },
	})
	if err != nil || len(x.filter.EventFields) == 0 {
		return written, err
	}
	return pick(written, x.filter.EventFields)
}
